"""Whether the event loop was held up of late: then locks are not renewed, and nobody is answered."""

from collections import deque
from typing import Final

HELD_UP_S: Final = 2.0  # this late is worth a word: a lock is renewed with far more to spare
WINDOW_S: Final = 10.0


class LoopLag:
    """By how much timers came too late. Times are on the loop's clock."""

    def __init__(self) -> None:
        self._lags: deque[tuple[float, float]] = deque()  # when, and how late; the worst first

    def note(self, lag_s: float, now: float) -> bool:
        """Whether that is worth a word."""
        while self._lags and self._lags[-1][1] <= lag_s:
            self._lags.pop()
        self._lags.append((now, lag_s))
        return lag_s >= HELD_UP_S

    def worst_s(self, now: float) -> float:
        """Over the last ten seconds."""
        while self._lags and self._lags[0][0] <= now - WINDOW_S:
            self._lags.popleft()
        return self._lags[0][1] if self._lags else 0.0

    def failure(self, now: float) -> str | None:
        """In words, where the loop was held up."""
        worst_s = self.worst_s(now)
        return None if worst_s < HELD_UP_S else f"the event loop stood still for {worst_s:.1f} s"
