"""The commands, a file each; `commands` puts them together, and `main` is where the process begins.

What may live here: options, printing, and putting the other packages together for one command. What may not: anything
that a program using flowbridge as a library would want. Heavy imports stand inside the commands, for a quick --help.
"""
