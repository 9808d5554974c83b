"""The bound on requests in flight."""

import asyncio


class Slots:
    """Permits for requests in flight. A permit also covers each delivery that the broker may still send.

    So nothing is ever locked by this worker without a slot to work on it in.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: list[asyncio.Event] = []

    def take(self, count: int) -> bool:
        """All of them, or none where fewer are free."""
        if count > self.free:
            return False
        self.free -= count
        return True

    def give_back(self, count: int) -> None:
        if not 0 <= count <= self.total - self.free:
            raise ValueError(f"{count} slots given back, but only {self.total - self.free} were taken")
        self.free += count
        if count:  # all are woken: one that can't receive just now must not keep a permit from the next
            for sleeper in self._waiting:
                sleeper.set()
            self._waiting.clear()

    def wake_when_free(self, sleeper: asyncio.Event) -> None:
        """Set `sleeper` once, when a permit comes back."""
        if sleeper not in self._waiting:
            self._waiting.append(sleeper)
