"""How fast dead letters are sent again."""

from typing import Final

_AT_ONCE_S: Final = 0.1  # of the rate may go in one go: a batch costs less than its messages one by one


class Pace:
    """`rate_per_s`: None for no limit. Times are on the loop's clock."""

    def __init__(self, rate_per_s: float | None, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._most = 1.0 if rate_per_s is None else max(1.0, _AT_ONCE_S * rate_per_s)
        self._tokens = 1.0
        self._paid_until = now

    def take(self, wanted: int, now: float) -> int:
        """How many of these may go now."""
        if self._rate_per_s is None:
            return wanted
        self._pay(self._rate_per_s, now)
        granted = min(wanted, int(self._tokens + 1e-9))
        self._tokens -= granted
        return granted

    def wait_s(self, now: float) -> float:
        """Until at least one may go."""
        if self._rate_per_s is None:
            return 0.0
        self._pay(self._rate_per_s, now)
        return max(0.0, 1.0 - self._tokens) / self._rate_per_s

    def _pay(self, rate_per_s: float, now: float) -> None:
        self._tokens = min(self._most, self._tokens + rate_per_s * max(0.0, now - self._paid_until))
        self._paid_until = max(self._paid_until, now)
