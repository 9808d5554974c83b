"""Elements as .NET binary XML (MC-NBFX), each in the most compact record, as .NET writes them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from struct import pack
from typing import assert_never
from uuid import UUID

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import Element, Text, lexical

_END = b"\x01"
_FIRST_DAY = datetime(1, 1, 1, tzinfo=UTC)
_UTC = 1 << 62
_INTEGERS = ((0x88, "<b", 8), (0x8A, "<h", 16), (0x8C, "<i", 32), (0x8E, "<q", 64))  # the record's type, bits
_MAX_SCALE = 28
_LENGTHS = (("<B", 1 << 8), ("<H", 1 << 16), ("<I", 1 << 31))  # of a text, and what they stay below


def write_binary(root: Element, namespaces: Mapping[str, str]) -> bytes:
    """The root declares the namespaces, prefix to URI. Names and types carry their prefixes; `type` and `nil` have `i`.

    Raises ContextBroken for a text that UTF-8 can't carry.
    """
    records = bytearray()
    written: list[Element | None] = [root]  # in reverse; None is the end of an element
    try:
        while written:
            element = written.pop()
            if element is None:
                records += _END
                continue
            records += _start(element)
            if element is root:
                records += _declarations(namespaces)
            if element.children or element.text is None:
                written.append(None)
                written.extend(reversed(element.children))
            else:
                records += _text(element.text, end=1)
    except UnicodeEncodeError:
        raise ContextBroken("a text in it holds one half of a surrogate pair") from None
    return bytes(records)


def _start(element: Element) -> bytes:
    start = _named(element.name, 0x40, 0x5E)
    if element.type is not None:
        start += _named("i:type", 0x04, 0x26) + _text(element.type, end=0)
    if element.is_nil:
        start += _named("i:nil", 0x04, 0x26) + _text(True, end=0)
    return start


def _named(qualified: str, short: int, by_letter: int) -> bytes:
    """`short` is the record without a prefix, the next one has any prefix, `by_letter` is the one for prefix a."""
    prefix, _, name = qualified.rpartition(":")
    if not prefix:
        return bytes((short,)) + _string(name)
    if len(prefix) == 1 and "a" <= prefix <= "z":
        return bytes((by_letter + ord(prefix) - ord("a"),)) + _string(name)
    return bytes((short + 1,)) + _string(prefix) + _string(name)


def _declarations(namespaces: Mapping[str, str]) -> bytes:
    return b"".join(
        (b"\x09" + _string(prefix) if prefix else b"\x08") + _string(uri) for prefix, uri in namespaces.items()
    )


def _string(text: str) -> bytes:
    encoded = text.encode()
    return _int31(len(encoded)) + encoded


def _int31(number: int) -> bytes:
    low_first = bytearray()
    while number >= 0x80:
        low_first.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*low_first, number))


def _text(text: Text, *, end: int) -> bytes:
    """`end` is 1 where the text ends its element as well."""
    match text:
        case str():
            return _chars(text, end)
        case bool():
            return bytes(((0x86 if text else 0x84) + end,))
        case int():
            return _integer(text, end)
        case float():
            return bytes((0x92 + end,)) + pack("<d", text)
        case Decimal():
            return _decimal(text, end)
        case datetime():
            ticks = (text - _FIRST_DAY) // timedelta(microseconds=1) * 10
            return bytes((0x96 + end,)) + pack("<Q", ticks | _UTC)
        case bytes():
            return _sized(text, 0x9E, end)
        case UUID():
            return bytes((0xB0 + end,)) + text.bytes_le
        case _:
            assert_never(text)


def _chars(text: str, end: int) -> bytes:
    short = {"": 0xA8, "0": 0x80, "1": 0x82}.get(text)
    return _sized(text.encode(), 0x98, end) if short is None else bytes((short + end,))


def _sized(content: bytes, first_type: int, end: int) -> bytes:
    """The three types for lengths of one, two and four bytes follow each other."""
    for index, (layout, limit) in enumerate(_LENGTHS):
        if len(content) < limit:
            return bytes((first_type + 2 * index + end,)) + pack(layout, len(content)) + content
    raise ContextBroken(f"expected a text below 2 GiB, found {len(content)} bytes")


def _integer(number: int, end: int) -> bytes:
    if number in (0, 1):
        return bytes((0x80 + 2 * number + end,))
    for record, layout, bits in _INTEGERS:
        if -(1 << bits - 1) <= number < 1 << bits - 1:
            return bytes((record + end,)) + pack(layout, number)
    if 0 < number < 1 << 64:
        return bytes((0xB2 + end,)) + pack("<Q", number)
    return _chars(str(number), end)


def _decimal(number: Decimal, end: int) -> bytes:
    sign, digits, exponent = number.as_tuple()
    if isinstance(exponent, int) and -_MAX_SCALE <= exponent <= _MAX_SCALE:
        coefficient = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
        if coefficient < 1 << 96:
            parts = pack("<HBBIQ", 0, max(-exponent, 0), sign << 7, coefficient >> 64, coefficient & (1 << 64) - 1)
            return bytes((0x94 + end,)) + parts
    return _chars(lexical(number), end)
