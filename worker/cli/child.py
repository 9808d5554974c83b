"""`flowbridge process`: one process of a worker in several. Nobody types it, so no help shows it."""

import sys

import typer

from worker.cli.failure import CommandFailed
from worker.cli.options import in_loop


def process() -> None:
    """One process of a worker in several; `flowbridge run` starts it where worker.processes is above 1."""
    from worker.supervisor import brief

    try:
        received = brief.received(sys.stdin.fileno())
    except OSError:
        raise CommandFailed("This command is for the worker itself. Set worker.processes and use 'run'.") from None
    if received is None:  # the supervisor has gone before anything was begun
        return
    from worker import logs
    from worker.supervisor import child

    own, line = received
    logs.configure(own.log_level, process=own.process)
    raise typer.Exit(in_loop(child.run(own, line)))
