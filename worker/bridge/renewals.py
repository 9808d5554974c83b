"""Which lock is to be renewed next. One lane's: it makes its own renewals, one at a time."""

import heapq
from itertools import count
from typing import Final

from worker.bridge.slot import Slot

NEVER: Final = float("inf")
RENEWED_AT: Final = (0.4, 0.5)  # of a lock's life; what came together is not renewed together
_FEW: Final = 64


class Renewals:
    """A heap by time. A slot's own `renew_at` is what counts: an entry that says otherwise is out of date."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Slot]] = []
        self._planned: set[Slot] = set()
        self._serial = count()

    def __len__(self) -> int:
        """Entries held, those out of date included."""
        return len(self._heap)

    def plan(self, slot: Slot, at: float) -> None:
        slot.renew_at = at
        self._planned.add(slot)
        heapq.heappush(self._heap, (at, next(self._serial), slot))
        self._tidy()

    def cancel(self, slot: Slot) -> None:
        slot.renew_at = NEVER
        self._planned.discard(slot)
        self._tidy()

    def next_at(self) -> float:
        while self._heap and self._heap[0][2].renew_at != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER

    def first_due(self, now: float) -> Slot | None:
        """The one that has waited longest. It must be planned anew, or cancelled."""
        return self._heap[0][2] if self.next_at() <= now else None

    def _tidy(self) -> None:
        """Requests that have ended are not held on to until their locks would have been renewed."""
        if len(self._heap) > 2 * len(self._planned) + _FEW:
            self._heap = [entry for entry in self._heap if entry[2].renew_at == entry[0]]
            heapq.heapify(self._heap)
