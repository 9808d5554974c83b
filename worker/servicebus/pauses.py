"""How long to wait before trying the bus again."""

from typing import Final

_FIRST_S: Final = 0.05
LONGEST_S: Final = 1.5  # with the half second that opening takes: back within 3 s of the broker's return


def pause_s(failures: int, *, draw: float) -> float:
    """After so many failures in a row, at least one; `draw` is uniform in [0, 1): full jitter."""
    return draw * min(LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 10))
