"""Fuzzing: `target` says what a target is, `targets` are all of them, `search` looks, `corpus` keeps.

`fuzz` is the command.
"""
