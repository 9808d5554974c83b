"""The bound on requests in flight."""

import asyncio
from collections import deque


class Slots:
    """Permits for requests in flight. A permit also covers each delivery that the broker may still send.

    So nothing is ever locked by this worker without a slot to work on it in.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[asyncio.Event] = deque()

    def take(self, wanted: int) -> int:
        """As many of `wanted` as are free."""
        taken = min(wanted, self.free)
        self.free -= taken
        return taken

    def give_back(self, count: int) -> None:
        if not 0 <= count <= self.total - self.free:
            raise ValueError(f"{count} slots given back, but only {self.total - self.free} were taken")
        self.free += count
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft().set()

    def wake_when_free(self, sleeper: asyncio.Event) -> None:
        """Set `sleeper` once, when a permit comes back; first come, first served."""
        if sleeper not in self._waiting:
            self._waiting.append(sleeper)
