"""Bulkhead: how many of the worker's slots one flow may hold, so that a flow which hangs leaves room for the others."""

from collections import Counter
from collections.abc import Collection
from typing import Final

PATIENCE_S: Final = 0.1  # a place that is due sooner is waited for; any other request makes room
SHORTEST_TURN_S: Final = 1.0
LONGEST_TURN_S: Final = 120.0
_SPAN_S: Final = 5.0  # a pace is measured over one to two of these


class Bulkhead:
    """Half of `total` is shared out evenly and kept for each flow; the other half is for whoever needs it.

    With one flow there is nobody to leave room for, and where nothing `is_kept` none is made. All times are on the
    loop's clock.
    """

    def __init__(self, total: int, flows: Collection[str], *, is_kept: bool = True) -> None:
        self._total = total
        self.kept = total // (2 * len(flows)) if is_kept and len(flows) > 1 else 0
        self._held: Counter[str] = Counter()
        self._paces = {flow: _Pace() for flow in flows}
        self._turns: dict[str, float] = {}

    def held(self, flow: str) -> int:
        return self._held[flow]

    def most(self, flow: str) -> int:
        """All but what the others hold, or have kept for them."""
        others = sum(max(self.kept, self._held[other]) for other in self._paces if other != flow)
        return max(1, self.kept, self._total - others)

    def enter(self, flow: str, now: float) -> bool:
        """Take a place, if the flow may have one more."""
        if self._held[flow] >= self.most(flow):
            return False
        if self._held[flow] == 0:
            self._paces[flow].begin(now)
        self._held[flow] += 1
        return True

    def leave(self, flow: str, now: float) -> None:
        if not self._held[flow]:
            raise ValueError(f"a place of flow {flow} is left that nobody holds")
        self._held[flow] -= 1
        self._paces[flow].count(now)

    def is_worth_waiting(self, flow: str, waiting: int, now: float) -> bool:
        """Whether a place is likely to be free within `PATIENCE_S` for one more behind `waiting` others."""
        return waiting + 1 <= self._paces[flow].measured_per_s(now) * PATIENCE_S

    def next_turn_s(self, flow: str, now: float) -> float:
        """Seconds until a place is likely to be free; each call books the turn behind the last one.

        Without that a backlog sent away would come back all at once, again and again.
        """
        spacing_s = 1.0 / self._paces[flow].expected_per_s(self._held[flow], now)
        behind_last_s = max(0.0, self._turns.get(flow, now) - now) + spacing_s
        turn_in_s = min(max(SHORTEST_TURN_S, behind_last_s), LONGEST_TURN_S)
        self._turns[flow] = now + turn_in_s
        return turn_in_s


class _Pace:
    """At which a flow's places are left, over the last five to ten seconds."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._before = 0
        self._current = 0
        self._moved_at = float("-inf")

    def begin(self, now: float) -> None:
        self._moved_at = now

    def count(self, now: float) -> None:
        self._advance(now)
        self._current += 1
        self._moved_at = now

    def measured_per_s(self, now: float) -> float:
        self._advance(now)
        return (self._before + self._current) / (_SPAN_S + now - self._began)

    def expected_per_s(self, held: int, now: float) -> float:
        """Where nothing moved of late: that all `held` take as long as they have stood still already (Little's law)."""
        still_s = min(max(1.0, now - self._moved_at), LONGEST_TURN_S)
        return self.measured_per_s(now) or max(1, held) / still_s

    def _advance(self, now: float) -> None:
        if now - self._began >= 2 * _SPAN_S:
            self._began, self._before, self._current = now, 0, 0
        elif now - self._began >= _SPAN_S:
            self._began, self._before, self._current = self._began + _SPAN_S, self._current, 0
