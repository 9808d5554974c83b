"""What the records of .NET binary XML hold: lengths, strings, and texts as native values (MC-NBFX 2.1 and 2.2.3).

Every reader takes the body and the offset behind the record's type, and gives the value and the offset behind it. A
number that the body cuts short raises struct.error or IndexError, which the document's reader turns into its sentence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import partial
from struct import Struct
from typing import TypeAlias

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import Text, lexical


@dataclass(slots=True)
class Strings:
    """A dictionary's strings by their ids. A reference takes two bytes, whatever it stands for: `left` bounds that."""

    texts: Mapping[int, str] = field(default_factory=dict)
    left: int = 0  # characters that may still be referred to


Read: TypeAlias = Callable[[bytes, int, Strings], tuple[Text, int]]

_TICKS_PER_S = 10_000_000
_FIRST_DAY = datetime(1, 1, 1, tzinfo=UTC)
_TICKS_OF_DATE = (1 << 62) - 1  # the two bits above are the kind
_MAX_TICKS = 3_155_378_975_999_999_999  # the last of 9999-12-31
_MAX_SCALE = 28
_EXACT = Context(prec=40)  # a decimal has 29 digits at most

START_LIST, _END_LIST = 0xA4, 0xA6


def read_int31(body: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first."""
    value = body[at]
    if value < 0x80:
        return value, at + 1
    value = 0
    for index in range(5):
        byte = body[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >= 1 << 31:
                break
            return value, at + index + 1
    raise ContextBroken(f"expected a number of 31 bits at byte {at}, found more")


def read_string(body: bytes, at: int) -> tuple[str, int]:
    length, start = read_int31(body, at)
    return _decoded(body, start, length, "utf-8")


def skip_string(body: bytes, at: int) -> int:
    length, start = read_int31(body, at)
    return _end(body, start, length)


def read_reference(body: bytes, at: int, strings: Strings) -> tuple[str, int]:
    """The string of the dictionary that a record refers to."""
    key, end = read_int31(body, at)
    text = strings.texts.get(key)
    if text is None:
        raise ContextBroken(
            f"expected a string at byte {at}, found number {key} of a string dictionary that isn't in the body"
        )
    strings.left -= len(text)
    if strings.left < 0:
        raise ContextBroken(f"expected fewer references to long strings, found too many at byte {at}")
    return text, end


def _end(body: bytes, start: int, length: int) -> int:
    end = start + length
    if end > len(body):
        raise ContextBroken(f"expected {length} bytes at byte {start}, found {max(len(body) - start, 0)}")
    return end


def _decoded(body: bytes, start: int, length: int, encoding: str) -> tuple[str, int]:
    end = _end(body, start, length)
    try:
        return body[start:end].decode(encoding), end
    except UnicodeDecodeError as broken:
        named = encoding.upper()
        raise ContextBroken(f"expected {named} at byte {start + broken.start}, found other bytes") from None


_UINT8, _UINT16, _UINT32 = Struct("<B"), Struct("<H"), Struct("<I")
_INT64, _UINT64 = Struct("<q"), Struct("<Q")
_DECIMAL = Struct("<xxBBIQ")  # scale, sign, the coefficient's high and low part
_UUID = Struct("<IHH2s6s")


def _constant(value: Text, _body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    return value, at


def _number(layout: Struct, body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    number: int | float = layout.unpack_from(body, at)[0]
    return number, at + layout.size


def _chars(length: Struct, encoding: str, body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    return _decoded(body, at + length.size, length.unpack_from(body, at)[0], encoding)


def _bytes(length: Struct, body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    start = at + length.size
    end = _end(body, start, length.unpack_from(body, at)[0])
    return body[start:end], end


def _bool(body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    if body[at] > 1:
        raise ContextBroken(f"expected 0 or 1 for a truth value at byte {at}, found {body[at]}")
    return body[at] == 1, at + 1


def _decimal(body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    scale, sign, high, low = _DECIMAL.unpack_from(body, at)
    if scale > _MAX_SCALE or sign & 0x7F:
        raise ContextBroken(f"expected a decimal at byte {at}, found scale {scale} and sign 0x{sign:02x}")
    number = _EXACT.scaleb(Decimal(high << 64 | low), -scale)
    return number.copy_negate() if sign else number, at + _DECIMAL.size


def _date(body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    """Of every kind it is UTC: a local date is written as the instant that it is, and Dataverse keeps its dates so."""
    ticks = _UINT64.unpack_from(body, at)[0] & _TICKS_OF_DATE
    if ticks > _MAX_TICKS:
        raise ContextBroken(f"expected a date up to the year 9999 at byte {at}, found {ticks} ticks")
    return _FIRST_DAY + timedelta(microseconds=ticks // 10), at + 8


def _duration(body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    """ISO 8601, `-P1DT2H3M4.5S`."""
    ticks: int = _INT64.unpack_from(body, at)[0]
    seconds, fraction = divmod(abs(ticks), _TICKS_PER_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    exact = f"{seconds}.{fraction:07}".rstrip("0") if fraction else str(seconds)
    date = f"{days}D" if days else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + (f"{exact}S" if exact != "0" else "")
    text = date + (f"T{time}" if time else "") or "T0S"
    return ("-P" if ticks < 0 else "P") + text, at + 8


def _uuid(prefix: str, body: bytes, at: int, _strings: Strings) -> tuple[Text, int]:
    first, second, third, fourth, fifth = _UUID.unpack_from(body, at)
    return f"{prefix}{first:08x}-{second:04x}-{third:04x}-{fourth.hex()}-{fifth.hex()}", at + 16


def _qualified_name(body: bytes, at: int, strings: Strings) -> tuple[Text, int]:
    if body[at] >= 26:
        raise ContextBroken(f"expected a prefix from 0 to 25 at byte {at}, found {body[at]}")
    name, end = read_reference(body, at + 1, strings)
    return f"{chr(ord('a') + body[at])}:{name}", end


def _list(body: bytes, at: int, strings: Strings) -> tuple[Text, int]:
    """Its last byte is the type of the record that ends it, with or without the element."""
    items = []
    while (record := body[at]) | 1 != _END_LIST | 1:
        read = TEXTS.get(record)
        if read is None or record & 1 or record == START_LIST:
            raise ContextBroken(f"expected a text record in a list at byte {at}, found 0x{record:02x}")
        item, at = read(body, at + 1, strings)
        items.append(lexical(item))
    return " ".join(items), at + 1


_BY_TYPE: dict[int, Read] = {
    0x80: partial(_constant, 0),
    0x82: partial(_constant, 1),
    0x84: partial(_constant, False),
    0x86: partial(_constant, True),
    0x88: partial(_number, Struct("<b")),
    0x8A: partial(_number, Struct("<h")),
    0x8C: partial(_number, Struct("<i")),
    0x8E: partial(_number, _INT64),
    0x90: partial(_number, Struct("<f")),  # exact: .NET narrows a double to it only where nothing is lost
    0x92: partial(_number, Struct("<d")),
    0x94: _decimal,
    0x96: _date,
    0x98: partial(_chars, _UINT8, "utf-8"),
    0x9A: partial(_chars, _UINT16, "utf-8"),
    0x9C: partial(_chars, _UINT32, "utf-8"),
    0x9E: partial(_bytes, _UINT8),
    0xA0: partial(_bytes, _UINT16),
    0xA2: partial(_bytes, _UINT32),
    START_LIST: _list,
    0xA8: partial(_constant, ""),
    0xAA: read_reference,
    0xAC: partial(_uuid, "urn:uuid:"),
    0xAE: _duration,
    0xB0: partial(_uuid, ""),
    0xB2: partial(_number, _UINT64),
    0xB4: _bool,
    0xB6: partial(_chars, _UINT8, "utf-16-le"),
    0xB8: partial(_chars, _UINT16, "utf-16-le"),
    0xBA: partial(_chars, _UINT32, "utf-16-le"),
    0xBC: _qualified_name,
}
# An odd type ends the element as well; a list is ended by its own last record instead.
TEXTS: Mapping[int, Read] = _BY_TYPE | {even | 1: read for even, read in _BY_TYPE.items() if even != START_LIST}
ARRAY_ITEM_BYTES: Mapping[int, int] = {
    0xB5: 1, 0x8B: 2, 0x8D: 4, 0x8F: 8, 0x91: 4, 0x93: 8, 0x95: 16, 0x97: 8, 0xAF: 8, 0xB1: 16,
}  # fmt: skip
