"""The bound on requests in flight."""

import asyncio


class Slots:
    """Permits for requests in flight. A permit also covers each delivery that the broker may still send.

    So nothing is ever locked by this worker without a slot to work on it in. First come, first served: a lane that
    takes back at once what it has just given would leave nothing for the others.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._line: dict[asyncio.Event, int] = {}  # who waits, for how many
        self._granted: dict[asyncio.Event, int] = {}

    def take(self, count: int, sleeper: asyncio.Event) -> bool:
        """All of them; or none, and a place in line: `sleeper` is set when they are there, to take them then."""
        if self._granted.pop(sleeper, None) is not None:
            return True
        if self._line or count > self.free:
            self._line.setdefault(sleeper, count)
            return False
        self.free -= count
        return True

    def leave_line(self, sleeper: asyncio.Event) -> None:
        """Who can't use them now must not keep the next one waiting."""
        if self._line.pop(sleeper, None) is not None:
            self._grant()
        elif (count := self._granted.pop(sleeper, 0)) > 0:
            self._return(count)

    def give_back(self, count: int) -> None:
        if not 0 <= count <= self.total - self.free:
            raise ValueError(f"{count} slots given back, but only {self.total - self.free} were taken")
        self._return(count)

    def _return(self, count: int) -> None:
        self.free += count
        self._grant()

    def _grant(self) -> None:
        while self._line:
            sleeper, count = next(iter(self._line.items()))
            if count > self.free:
                return
            del self._line[sleeper]
            self.free -= count
            self._granted[sleeper] = count
            sleeper.set()
