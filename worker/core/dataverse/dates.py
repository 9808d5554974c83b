"""The two ways in which a context writes an instant."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATA_CONTRACT = re.compile(r"/Date\((-?\d{1,15})(?:([+-])(\d{2})(\d{2}))?\)/")


def read_date(text: str) -> datetime | None:
    """UTC of `/Date(ms)/` or `/Date(ms±hhmm)/`; None for any other text, and for what no calendar holds.

    The offset is added: Dataverse writes local milliseconds less the offset, the reverse of the DataContract rule
    (in the vendor's own webhook sample 07:04:08 with -0700 stands beside a row changed at 00:04:07 UTC).
    """
    found = _DATA_CONTRACT.fullmatch(text)
    if found is None:
        return None
    ms, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    try:
        return _EPOCH + timedelta(milliseconds=int(ms)) + (-offset if sign == "-" else offset)
    except OverflowError:
        return None


def read_instant(text: str) -> datetime | None:
    """UTC of either form; an ISO-8601 text without an offset is UTC already."""
    if (instant := read_date(text)) is not None:
        return instant
    try:
        parsed = datetime.fromisoformat(text)
        return whole_ms(parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def whole_ms(instant: datetime) -> datetime:
    """XML and binary XML may say ten thousand times more than JSON can: the three have to say the same."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def write_iso(instant: datetime) -> str:
    """`2026-01-31T08:15:00Z`, with milliseconds where there are any."""
    exact = "milliseconds" if instant.microsecond else "seconds"
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=exact) + "Z"


def write_date(instant: datetime) -> str:
    return f"/Date({(instant - _EPOCH) // timedelta(milliseconds=1)})/"
