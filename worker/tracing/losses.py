"""When spans began to be lost and when that ended: each is news once."""

from typing import Final

QUIET_S: Final = 10.0  # without a loss, before it has ended: a full queue loses some between any two batches


class Losses:
    """`now` in seconds, on any clock that doesn't go back."""

    def __init__(self) -> None:
        self._spans = 0
        self._last_at: float | None = None

    def lose(self, spans: int, now: float) -> bool:
        """Whether it begins with these."""
        is_news = self._last_at is None
        self._spans += spans
        self._last_at = now
        return is_news

    def deliver(self, now: float) -> int | None:
        """How many spans were lost, where that has ended with a delivery."""
        if self._last_at is None or now - self._last_at < QUIET_S:
            return None
        lost, self._spans, self._last_at = self._spans, 0, None
        return lost
