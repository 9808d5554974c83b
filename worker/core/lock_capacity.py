"""How many locks one lane can keep alive, at the round trip that it measures."""

from typing import Final

_RENEWED_WITHIN: Final = 0.4  # of a lock's life: the soonest that a lane plans a renewal for
_SHARE: Final = 0.5  # of a lane's time; the other half is for receiving and settling
_WEIGHT: Final = 0.2  # of the newest round trip
_FAST_S: Final = 0.001  # a lane's own work on one operation is no less


class LockCapacity:
    """A lane renews one lock after the other, each once in two fifths of its life."""

    def __init__(self) -> None:
        self._lock_s = 0.0
        self._round_trip_s = _FAST_S

    def locked_for(self, seconds: float) -> None:
        """How long a lock lasts from now. A queue's last equally long; one that lay in a buffer looks shorter."""
        self._lock_s = max(self._lock_s, seconds)

    def took(self, seconds: float, *, operations: int = 1) -> None:
        """One after the other."""
        newest_s = max(_FAST_S, seconds / operations)
        self._round_trip_s += _WEIGHT * (newest_s - self._round_trip_s)

    @property
    def most(self) -> int:
        """At least one, whatever the broker's speed."""
        return max(1, int(_SHARE * _RENEWED_WITHIN * self._lock_s / self._round_trip_s))
