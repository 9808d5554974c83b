"""The commands, a file each; `main` puts them together and turns failures into one sentence and an exit status.

What may live here: options, printing, and putting the other packages together for one command. What may not: anything
that a program using flowbridge as a library would want. Heavy imports stand inside the commands, for a quick --help.
"""
