"""Bulkhead: how many of the worker's slots one flow may hold, so that a flow which hangs leaves room for the others."""

from collections import Counter
from collections.abc import Collection
from typing import Final

DUE_SOON_S: Final = 0.1  # a place that is due sooner is waited for; any other request makes room
LONGEST_PATIENCE_S: Final = 0.5
SHORTEST_TURN_S: Final = 1.0
LONGEST_TURN_S: Final = 120.0
NEWEST_WEIGHS: Final = 0.1  # of a moving average


class Bulkhead:
    """Half of `total` is shared out evenly and kept for each flow; the other half is for whoever needs it.

    With one flow there is nobody to leave room for, and where nothing `is_kept` none is made. All times are on the
    loop's clock.
    """

    def __init__(self, total: int, flows: Collection[str], *, is_kept: bool = True) -> None:
        self._total = total
        self.kept = total // (2 * len(flows)) if is_kept and len(flows) > 1 else 0
        self._held: Counter[str] = Counter()
        self._stays = {flow: _Stays() for flow in flows}
        self._turns: dict[str, float] = {}

    def held(self, flow: str) -> int:
        return self._held[flow]

    def most(self, flow: str) -> int:
        """All but what the others hold, or have kept for them."""
        others = sum(max(self.kept, self._held[other]) for other in self._stays if other != flow)
        return max(1, self.kept, self._total - others)

    def enter(self, flow: str, now: float) -> bool:
        """Take a place, if the flow may have one more."""
        if self._held[flow] >= self.most(flow):
            return False
        if self._held[flow] == 0:
            self._stays[flow].begin(now)
        self._held[flow] += 1
        return True

    def leave(self, flow: str, now: float, *, held_s: float) -> None:
        if not self._held[flow]:
            raise ValueError(f"a place of flow {flow} is left that nobody holds")
        self._held[flow] -= 1
        self._stays[flow].ended(held_s, now)

    def patience_s(self, flow: str, waiting: int, now: float) -> float:
        """How long one more may wait for a place, behind `waiting` others; 0 where none is due soon.

        Calls that began together end together, so a place that is due may be as late as a call is long.
        """
        if (waiting + 1) * self._spacing_s(flow, now) > DUE_SOON_S:
            return 0.0
        return min(DUE_SOON_S + self._stays[flow].expected_s(now), LONGEST_PATIENCE_S)

    def next_turn_s(self, flow: str, now: float) -> float:
        """Seconds until a place is likely to be free; each call books the turn behind the last one.

        Without that a backlog sent away would come back all at once, again and again.
        """
        behind_last_s = max(0.0, self._turns.get(flow, now) - now) + self._spacing_s(flow, now)
        turn_in_s = min(max(SHORTEST_TURN_S, behind_last_s), LONGEST_TURN_S)
        self._turns[flow] = now + turn_in_s
        return turn_in_s

    def _spacing_s(self, flow: str, now: float) -> float:
        """Between one place of a flow that has all its places taken and the next (Little's law)."""
        return self._stays[flow].expected_s(now) / self.most(flow)


class _Stays:
    """How long a flow's places are held."""

    def __init__(self) -> None:
        self._average_s = 0.0
        self._moved_at = float("-inf")

    def begin(self, now: float) -> None:
        """The first place was taken."""
        self._moved_at = now

    def ended(self, held_s: float, now: float) -> None:
        is_first = self._average_s == 0.0
        self._average_s += (held_s - self._average_s) * (1.0 if is_first else NEWEST_WEIGHS)
        self._moved_at = now

    def expected_s(self, now: float) -> float:
        """As of late, or as long as nothing has moved already: whoever hangs is expected to go on hanging."""
        return min(max(self._average_s, now - self._moved_at), LONGEST_TURN_S)
