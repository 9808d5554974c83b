"""`asyncio.timeout_at` for many at once: one timer of the loop, where each would have its own, which costs 11 µs."""

import asyncio
import math
from types import TracebackType


class TimeLimits:
    """Of one loop. Nearly all scopes end long before they must: the timer stays, and rings for whoever is next then."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._open: set[TimeLimit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def until(self, at: float) -> "TimeLimit":
        """A scope that is cancelled when the loop's clock says `at`, and then raises TimeoutError."""
        return TimeLimit(self, at)

    def begin(self, scope: "TimeLimit") -> None:
        self._open.add(scope)
        if scope.at < self._rings_at:
            self._ring_at(scope.at)

    def end(self, scope: "TimeLimit") -> None:
        self._open.discard(scope)

    def _ring_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        due = max(self._rings_at, self.loop.time())  # a loop may ring a little early
        for scope in [scope for scope in self._open if scope.at <= due]:
            self._open.remove(scope)
            scope.cancel()
        self._rings_at = math.inf
        if self._open:
            self._ring_at(min(scope.at for scope in self._open))


class TimeLimit:
    """Like `asyncio.Timeout`: a task that somebody else cancels as well stays cancelled."""

    __slots__ = ("_cancelling", "_is_up", "_limits", "_task", "at")

    def __init__(self, limits: TimeLimits, at: float) -> None:
        self.at = at
        self._limits = limits
        self._is_up = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._limits.loop)
        if task is None:
            raise RuntimeError("A time limit needs a task that it can cancel.")
        self._task = task
        self._cancelling = task.cancelling()
        self._limits.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.end(self)
        if self._is_up and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def cancel(self) -> None:
        self._is_up = True
        self._task.cancel()
