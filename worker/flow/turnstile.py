"""A bound on calls in flight that may move while callers wait at it."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Lets in as many as `limit` says at the moment, first come first served."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._line: deque[asyncio.Future[None]] = deque()
        self.inside = 0

    @property
    def waiting(self) -> int:
        return len(self._line)

    def enter_at_once(self) -> bool:
        if self._line or self.inside >= self._limit():
            return False
        self.inside += 1
        return True

    async def enter(self, until: float | None) -> bool:
        """False when there was no room by `until` on the loop's clock."""
        if self.enter_at_once():  # costs no timer
            return True
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(ticket)
        try:
            async with asyncio.timeout_at(until):
                await ticket
        except BaseException as end:
            if ticket in self._line:
                self._line.remove(ticket)
            else:  # let in at the very moment
                self.leave()
            if isinstance(end, TimeoutError):
                return False
            raise
        return True

    def leave(self) -> None:
        self.inside -= 1
        self.admit()

    def admit(self) -> None:
        """To be called after the limit has grown."""
        while self._line and self.inside < self._limit():
            self.inside += 1
            ticket = self._line.popleft()
            if not ticket.cancelled():
                ticket.set_result(None)
