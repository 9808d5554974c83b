"""An event loop whose time stands still while anything can run, and jumps to the next timer when nothing can."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

STARTS_AT: Final = 1000.0
_MOST_PASSES: Final = 20_000  # of the loop at one instant
_MOST_LOOKS: Final = 200_000  # at the clock within one pass


class DeadlockError(Exception):
    """Everything waits, and no timer is set."""


class BusyLoopError(Exception):
    """Something runs on and on while no time passes."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        self._jumps.looks += 1
        if self._jumps.looks > _MOST_LOOKS:
            self._jumps.looks = 0
            raise BusyLoopError("the clock is read over and over, and nobody else gets a turn")
        return self._jumps.now


class _Jumps(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = STARTS_AT
        self.passes = 0
        self.looks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.looks = 0
        self.passes += 1
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("everything waits, and no timer is set")
        if timeout > 0:
            self.now += timeout
            self.passes = 0
        elif self.passes > _MOST_PASSES:
            self.passes = 0
            raise BusyLoopError("tasks wake each other over and over, and no time passes")
        return ready


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
