"""An event loop whose time stands still while anything can run, and jumps to the next timer when nothing can.

What one owner runs can be held up, as if its process stood still while the rest of the world goes on.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STARTS_AT: Final = 1000.0
OWNER: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("OWNER", default=None)  # of what runs
_MOST_PASSES: Final = 20_000  # of the loop at one instant
_MOST_LOOKS: Final = 200_000  # at the clock within one pass


class DeadlockError(Exception):
    """Everything waits, and no timer is set."""


class BusyLoopError(Exception):
    """Something runs on and on while no time passes."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """No sockets, threads or signals. What is due at the same time runs in the order in which it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._due: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._serial = count()
        self._held: dict[object, list[asyncio.Handle]] = {}
        self._now = STARTS_AT
        self._passes = 0
        self._looks = 0

    def time(self) -> float:
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            self._looks = 0
            raise BusyLoopError("the clock is read over and over, and nobody else gets a turn")
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._serial), handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def run_until(self, when: float) -> None:
        """Everything up to then, or up to a call of `stop`."""
        end = self.call_at(when, self.stop)
        self.run_forever()
        end.cancel()

    def hold(self, owner: object) -> None:
        self._held.setdefault(owner, [])

    def release(self, owner: object) -> None:
        self._due.extend(self._held.pop(owner, ()))

    def _run_once(self) -> None:
        """Pass after pass, until it is to stop."""
        due, timers, held = self._due, self._timers, self._held
        while True:
            self._looks = 0
            self._passes += 1
            if not due:
                self._jump()
            elif self._passes > _MOST_PASSES:
                self._passes = 0
                raise BusyLoopError("tasks wake each other over and over, and no time passes")
            while timers and timers[0][0] <= self._now:
                due.append(heapq.heappop(timers)[2])
            for _ in range(len(due)):
                handle = due.popleft()
                if handle._cancelled:
                    continue
                if held and (owner := handle._context.get(OWNER)) in held:  # type: ignore[attr-defined]
                    held[owner].append(handle)
                else:
                    handle._run()
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise DeadlockError("everything waits, and no timer is set")
        if timers[0][0] > self._now:
            self._now = timers[0][0]
            self._passes = 0


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
