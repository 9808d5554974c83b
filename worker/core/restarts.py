"""When a process that has ended is started again."""

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
LONG_LIFE_S: Final = 60.0  # what lived as long had a start without fault


class Restarts:
    """Of one process after the other. Times are on the loop's clock."""

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._short_lives = 0  # in a row

    def begun(self, now: float) -> None:
        self._began_at = now

    def pause_s(self, now: float, *, is_hopeless: bool, draw: float) -> float:
        """From the end of a life to the next start: doubled by every short life in a row, less up to half by chance.

        `is_hopeless`: the next one will end in the same way, so it has the longest pause at once.
        """
        self._short_lives = 1 if now - self._began_at >= LONG_LIFE_S else self._short_lives + 1
        doubled_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._short_lives - 1, 60))
        return (LONGEST_S if is_hopeless else doubled_s) * (1.0 - 0.5 * draw)
