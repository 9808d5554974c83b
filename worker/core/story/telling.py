"""Numbers as a story tells them. Times are epoch seconds, told in UTC."""

from datetime import UTC, datetime
from typing import Final

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def lasting(seconds: float) -> str:
    seconds = abs(seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.3g} s"
    if seconds < _HOUR_S:
        return _two(seconds, _MINUTE_S, "min", 1.0, "s")
    if seconds < _DAY_S:
        return _two(seconds, _HOUR_S, "h", _MINUTE_S, "min")
    return _two(seconds, _DAY_S, "d", _HOUR_S, "h")


def _two(seconds: float, large_s: float, large: str, small_s: float, small: str) -> str:
    """In two units; the smaller one only where there is something of it."""
    larges, rest_s = divmod(seconds, large_s)
    smalls = int(rest_s // small_s)
    return f"{larges:.0f} {large}{f' {smalls} {small}' if smalls else ''}"


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def ordinal(number: int) -> str:
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def clause(sentence: str) -> str:
    """To go on after."""
    return sentence.strip().rstrip(".")
