"""How a running worker is asked to end: by signals, or by whoever runs it."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Stop:
    """The first request to stop drains; a second one hurries the drain."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def request(self) -> None:
        (self.hurried if self.requested.is_set() else self.requested).set()

    def hurry(self) -> None:
        self.requested.set()
        self.hurried.set()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """SIGTERM and SIGINT alike, in the block's running loop."""
    stop = Stop()
    with signals_call({signal.SIGTERM: stop.request, signal.SIGINT: stop.request}):
        yield stop


@contextmanager
def signals_call(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """In the block's running loop."""
    loop = asyncio.get_running_loop()
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in actions:
            loop.remove_signal_handler(number)
