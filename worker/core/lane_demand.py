"""How many of a source's lanes are worth their connections: the fewest that leave each time to wait for requests."""

from collections.abc import Sequence
from typing import Final

BUSY: Final = 0.75  # of a lane's time; what is left has to suffice for a burst
CALM: Final = 0.4  # of the time of one lane fewer
CORE_FULL: Final = 0.85
CALM_FOR_S: Final = 30.0  # opening one again takes half a second


class LaneDemand:
    """`wanted`: from `least` to `most`. Times are on the loop's clock."""

    def __init__(self, *, least: int, most: int) -> None:
        self.wanted = min(least, most)
        self._least = self.wanted
        self._most = most
        self._calm_since: float | None = None

    def look(self, busy: Sequence[float], *, core_busy: float, is_opening: bool, now: float) -> None:
        """`busy`: each open lane's share of the time since the last look; `core_busy`: this process's of one core;
        `is_opening`: another lane is on its way.

        Twice as many at once where all are busy, because a burst doesn't wait; one fewer after a while of calm. Lanes
        that are busy because the core is would get no more done by others beside them.
        """
        if not busy:  # all of them broken, say
            return
        if sum(busy) <= CALM * (self.wanted - 1):
            self._calm_since = now if self._calm_since is None else self._calm_since
            if now - self._calm_since >= CALM_FOR_S:
                self.wanted, self._calm_since = max(self._least, self.wanted - 1), now
            return
        self._calm_since = None
        if not is_opening and core_busy < CORE_FULL and sum(busy) >= BUSY * len(busy):
            self.wanted = min(self._most, 2 * self.wanted)
