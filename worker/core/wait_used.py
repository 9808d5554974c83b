"""How much of the time that callers can wait is spent in the queue: what tells whether more workers are wanted.

The length of a queue doesn't: a hundred requests that may take an hour need nobody, ten that must be answered within
two seconds may.
"""

from collections import Counter, deque
from typing import Final

WINDOW_S: Final = 60.0
SHARE: Final = 0.9  # the slowest tenth decides
MOST: Final = 4.0  # whoever is this late is late: so that one odd request doesn't ask for hundreds of workers
_STEP_S: Final = 5.0
_FINENESS: Final = 20  # classes for each whole


class WaitUsed:
    """Times are on the loop's clock."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, Counter[int]]] = deque()  # when each began, oldest first

    def note(self, *, waited_s: float, allowed_s: float, call_s: float, now: float) -> None:
        """`allowed_s`: from the queue to the deadline, of which the call itself took `call_s`."""
        affordable_s = max(allowed_s - call_s, 0.01)
        share = min(MOST, waited_s / affordable_s)
        if not self._steps or self._steps[-1][0] <= now - _STEP_S:
            self._forget(now)
            self._steps.append((now, Counter()))
        self._steps[-1][1][round(share * _FINENESS)] += 1

    def ratio(self, now: float) -> float:
        """0 where nothing was noted of late."""
        self._forget(now)
        counted = sum((classes for _, classes in self._steps), Counter[int]())
        rank = SHARE * counted.total()
        for kind in sorted(counted):
            rank -= counted[kind]
            if rank <= 0:
                return kind / _FINENESS
        return 0.0

    def _forget(self, now: float) -> None:
        while self._steps and self._steps[0][0] <= now - WINDOW_S:
            self._steps.popleft()
