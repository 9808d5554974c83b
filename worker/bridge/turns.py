"""Whose turn it is to accept a session, and when one that is held makes room for another."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

MOST_ACCEPTING: Final = 8  # each is a connection that waits
_FIRST_WAIT_S: Final = 1.0  # so that a broker that answers is known to, soon after the start
_LONGEST_WAIT_S: Final = 12.0  # an attempt at anything takes the SDK 15 s at most


class Turns:
    """`lanes`: that there are. All of them holding a session means that others may wait for one.

    `wait_s`: for a session, when one is accepted next.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._holding = 0
        self._may_accept = asyncio.Semaphore(MOST_ACCEPTING)
        self.wait_s = _FIRST_WAIT_S

    @property
    def is_scarce(self) -> bool:
        return self._holding >= self._lanes

    def failed(self) -> None:
        """So that a broker that is back is known to be, soon after."""
        self.wait_s = _FIRST_WAIT_S

    def accepted(self, *, is_granted: bool) -> None:
        self.wait_s = _FIRST_WAIT_S if is_granted else min(_LONGEST_WAIT_S, 2 * self.wait_s)

    @asynccontextmanager
    async def accepting(self) -> AsyncIterator[None]:
        async with self._may_accept:
            yield

    @contextmanager
    def holding(self) -> Iterator[None]:
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
