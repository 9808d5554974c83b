"""How fast a flow answers at its best, so that a call which has no chance to end in time isn't made."""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
LEAST_SAMPLES: Final = 20
MOST_SAMPLES: Final = 4096  # a busy flow's last seconds say as much as its last minute
ONE_IN: Final = 20  # of those without a chance is called all the same: nothing else shows that the flow got faster


class AnswerTimes:
    """Seconds from sending to the flow's own answer, over the last minute or the last 4,096 answers."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()  # when, and how long; oldest first
        self._sorted: list[float] = []
        self._without_chance = 0

    def add(self, took_s: float, now: float) -> None:
        if len(self._samples) == MOST_SAMPLES:
            self._drop_oldest()
        self._samples.append((now, took_s))
        insort(self._sorted, took_s)

    def fastest_decile_s(self, now: float) -> float | None:
        """What nine in ten answers take at least; None where there are too few to say."""
        while self._samples and self._samples[0][0] <= now - WINDOW_S:
            self._drop_oldest()
        count = len(self._sorted)
        return None if count < LEAST_SAMPLES else self._sorted[(count + 9) // 10 - 1]

    def has_chance(self, remaining_s: float, now: float) -> bool:
        """Whether a call with so much time left may end in time."""
        decile_s = self.fastest_decile_s(now)
        return decile_s is None or remaining_s >= decile_s

    def lets_through(self) -> bool:
        """Whether a call without a chance is made all the same; to be asked once for each."""
        self._without_chance += 1
        return self._without_chance % ONE_IN == 0

    def _drop_oldest(self) -> None:
        _, took_s = self._samples.popleft()
        del self._sorted[bisect_left(self._sorted, took_s)]
