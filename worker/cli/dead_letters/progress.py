"""What a long command says on stderr while it runs, and how it is told to end."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.cli.dead_letters.words import say
from worker.core.failures import BusFailure
from worker.servicebus.clearing import OUTAGE_S
from worker.servicebus.contact import Contact


def said_contact() -> Contact:
    return Contact(on_lost=_say_lost, on_back=lambda: say("The broker is back.", err=True))


def _say_lost(failure: BusFailure) -> None:
    say(f"The broker is lost; trying again, for {OUTAGE_S:g} s at most. {failure}", err=True)


@contextlib.contextmanager
def bar(doing: str, whole: int) -> Iterator[Callable[[int], None]]:
    """Something to tell how many more are done; shown where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=whole)
        yield lambda count: progress.advance(task, count)


@contextlib.contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[asyncio.Event]:
    """The first SIGINT or SIGTERM in the block calls `stop` and sets the event; a second one ends in its usual way."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():  # others are sent no signals
        yield stopped
        return

    def interrupted() -> None:
        stopped.set()
        stop()
        _restore(loop)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stopped
    finally:
        _restore(loop)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _restore(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
