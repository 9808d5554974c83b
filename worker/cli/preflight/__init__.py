"""What `flowbridge check` looks at, a file for each section of its output, and the commands that mend what fails.

`sections` puts them in order, the cheap ones first. `mending` knows the command of each failure, `azure` how Azure's
CLI wants it written. Nothing here prints.
"""
