"""What the process is given by who started it, made fit for use: standard streams and the first signals.

Imports nothing heavy: until this has run, a closed descriptor or a signal ends the command in its own way.
"""

import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
_UNTIL_SIGNALLED: Final = ("run", "process", "emulator")  # for these a signal is the regular end


def prepare(arguments: Sequence[str]) -> None:
    """Before anything opens a file or a socket, and before the imports that take half a second."""
    _open_standard_streams()
    if arguments and arguments[0] in _UNTIL_SIGNALLED:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave)


def _open_standard_streams() -> None:
    """A closed one reads as empty and swallows what it is given; what an encoding has no character for becomes `?`.

    Left closed, its number goes to the next file opened: uvloop aborts when that is a socket of its own.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Nothing is in hand yet. Not by SystemExit, which an import that is being cut short may swallow."""
    os._exit(0)
