"""`flowbridge bench`: subjects that do the worker's job in other ways, and what measures them side by side.

What may live here: the subjects, each a program of its own (`python -m worker.cli.bench.floor`); the load and the flow
that they stand between; cores, processes and clocks; figures and their tables. What may not: anything that the other
commands want. The measurements of tests/bench use the load's wire, the cores and the processes, too.
"""
