"""Whether this machine's clock is ahead of the broker's: fresh requests would look old, and be answered `expired`."""

from typing import Final

# A delivery may have waited so long in a connection's buffer, behind a settlement; no clock is needed to explain that.
TOLERATED_S: Final = 6.0


class Skew:
    """Judged by locks, which the broker stamps with its own clock when it delivers. Times are epoch seconds.

    A clock behind the broker's can't be told from a queue whose locks last longer than `lock_s` says. It makes requests
    look younger than they are, never older than their arrival.
    """

    def __init__(self, lock_s: float) -> None:
        self._lock_s = lock_s

    def ahead_s(self, *, enqueued: float, locked_until: float, now: float) -> float:
        """How far ahead the clock is at least; 0 where that may have other reasons."""
        # No message is delivered before it was enqueued, so this bounds how long the queue's locks really last.
        self._lock_s = min(self._lock_s, max(1.0, locked_until - enqueued))
        lock_is_old_by_s = now - (locked_until - self._lock_s)
        return lock_is_old_by_s if lock_is_old_by_s > TOLERATED_S else 0.0
