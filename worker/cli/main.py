"""`flowbridge`: where the process begins. What is heavy is imported once the process is fit for it."""

import sys
from collections.abc import Sequence

from worker.cli import process


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status. Without `arguments` those of the process are taken, and the process is prepared."""
    if arguments is None:
        arguments = sys.argv[1:]
        process.prepare(arguments)
    try:
        from worker.cli.commands import invoke
    except KeyboardInterrupt:
        return process.INTERRUPTED
    return invoke(arguments)
