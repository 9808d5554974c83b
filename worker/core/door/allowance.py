"""How much one caller may ask for."""

from typing import Final

_BURST_S: Final = 1.0


class Allowance:
    """A bucket that fills with `rate_per_s` (0: no cap) up to a second's worth, and a bound on what is in hand.

    Times are on the loop's clock.
    """

    def __init__(self, *, rate_per_s: float, concurrency: int) -> None:
        self._rate_per_s = rate_per_s
        self._most = max(1.0, rate_per_s * _BURST_S)
        self._left = self._most
        self._filled_at = 0.0
        self._concurrency = concurrency
        self.in_hand = 0

    def enter(self, now: float) -> float | None:
        """None with a place taken, to be left; or the seconds after which to try again."""
        if self.in_hand >= self._concurrency:
            return 1.0
        if self._rate_per_s > 0:
            self._left = min(self._most, self._left + (now - self._filled_at) * self._rate_per_s)
            self._filled_at = now
            if self._left < 1.0:
                return (1.0 - self._left) / self._rate_per_s
            self._left -= 1.0
        self.in_hand += 1
        return None

    def leave(self) -> None:
        self.in_hand -= 1
