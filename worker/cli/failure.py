"""How a command says that it could not do its work."""

import errno
from collections.abc import Iterator
from typing import Final

import typer

from worker.core.failures import BusFailure
from worker.core.redaction import redact
from worker.settings import SettingsInvalid

OTHERWISE: Final = 1
BAD_SETTINGS: Final = 2
_OF_LISTENING: Final = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


class CommandFailed(Exception):
    """The text is a sentence for the person at the terminal, with what to do."""


def tell(error: Exception) -> int:
    """Say it on stderr, without a traceback and without secrets; returns the exit status."""
    for each in _leaves(error):
        if isinstance(each, SettingsInvalid):
            for problem in each.problems:
                _say(str(problem))
            return BAD_SETTINGS
    told = list(dict.fromkeys(_sentence(each) for each in _leaves(error)))
    for sentence in told:
        _say(sentence)
    return OTHERWISE


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _sentence(error: Exception) -> str:
    if isinstance(error, CommandFailed | BusFailure):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_LISTENING:
        where = str(error.strerror).removeprefix("error while attempting to bind on address ")
        return f"Can't listen: {where}. Set another http.port (or http.host), or end what listens there."
    if isinstance(error, OSError) and error.strerror:
        subject = "" if error.filename is None else f"{error.filename}: "
        return f"{subject}{error.strerror}. Check the address or path, and that nothing else uses it."
    what = f"{type(error).__name__}: {error}".strip(": ")
    return f"This should not have happened ({what}). Set FLOWBRIDGE_DEBUG=1 to see where, and report it."


def _say(sentence: str) -> None:
    typer.echo(f"flowbridge: {redact(sentence)}", err=True)
