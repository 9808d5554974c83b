"""How far apart one flow's calls start: its rate cap, and what the platform says is left of its allowance."""

from typing import Final

ALLOWANCE_WINDOW_S: Final = 300.0  # the platform counts calls over five minutes
SCARCE_ONE_IN: Final = 10  # of the most seen


class Allowance:
    """What x-ms-ratelimit-burst-remaining-workflow-writes counts down, before 429s come.

    What it counts down from isn't said: the most seen stands for it, over one window at least and three at most. Who
    waits for `next_start` takes it only when it has come, because news may move it.
    """

    def __init__(self) -> None:
        self._workers = 1
        self._last_start = float("-inf")
        self._remaining = 0
        self._noted_at = float("-inf")
        self._window_began = float("-inf")
        self._most = 0
        self._most_before = 0  # in the window before

    def set_share(self, workers: int) -> None:
        """How many share the allowance, this worker included."""
        self._workers = workers

    def next_start(self, now: float) -> float:
        """When the next call may start, as things are now."""
        return max(now, self._last_start + self.interval_s(now))

    def start(self, now: float) -> None:
        self._last_start = now

    def note(self, remaining: int, now: float) -> None:
        """What an answer said is left."""
        if now - self._window_began >= ALLOWANCE_WINDOW_S:
            self._most_before = 0 if self._is_forgotten(now) else self._most
            self._most = 0
            self._window_began = now
        self._most = max(self._most, remaining)
        self._remaining = remaining
        self._noted_at = now

    def interval_s(self, now: float) -> float:
        """The least spacing between starts.

        0 while more than a tenth is left. At a tenth it is what the whole would sustain over a window, and it grows
        as what is left shrinks, up to 30 s: most / 10 left is (300 / most) s apart, so any number left is 30 s / left.
        """
        most = max(self._most, self._most_before)
        if self._is_forgotten(now) or self._remaining * SCARCE_ONE_IN > most:
            return 0.0
        return self._workers * ALLOWANCE_WINDOW_S / SCARCE_ONE_IN / max(1, self._remaining)

    def _is_forgotten(self, now: float) -> bool:
        return now - self._noted_at >= ALLOWANCE_WINDOW_S


class RateLimiter:
    """The generic cell rate algorithm with a burst of one. A rate of 0 is no cap.

    A start that nobody uses isn't given back: those behind it already have their times.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._interval_s = 1.0 / rate_per_s if rate_per_s > 0 else 0.0
        self._workers = 1
        self._last_start = float("-inf")

    def set_share(self, workers: int) -> None:
        """How many share the rate, this worker included. Holds from the next start on."""
        self._workers = workers

    def next_start(self, now: float) -> float:
        """The next time to start at that isn't reserved."""
        return max(now, self._last_start + self._workers * self._interval_s)

    def reserve(self, now: float, *, until: float | None) -> float | None:
        """The time to start at, now reserved; None, and nothing reserved, where that would be past `until`."""
        start = self.next_start(now)
        if until is not None and start > until:
            return None
        self._last_start = start
        return start
