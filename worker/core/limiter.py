"""Rate cap of one flow: the generic cell rate algorithm with a burst of one."""


class RateLimiter:
    """Hands out starting times at least `1 / rate_per_s` apart; a rate of 0 is no cap."""

    def __init__(self, rate_per_s: float) -> None:
        self._interval_s = 1.0 / rate_per_s if rate_per_s > 0 else 0.0
        self._next_start = float("-inf")

    def reserve(self, now: float, *, until: float | None) -> float | None:
        """The time to start at, now reserved; None, and nothing reserved, where that would be past `until`."""
        start = max(now, self._next_start)
        if until is not None and start > until:
            return None
        self._next_start = start + self._interval_s
        return start
