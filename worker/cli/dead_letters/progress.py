"""A bar on stderr where that is a terminal, and how a long command is told to end."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def bar(doing: str, whole: int) -> Iterator[Callable[[int], None]]:
    """Something to tell how many more are done."""
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
