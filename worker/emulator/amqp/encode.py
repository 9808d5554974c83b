"""Values to bytes: the shortest encoding of each type, chosen by the value's exact Python type."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from worker.emulator.amqp import types
from worker.emulator.amqp.errors import LocalProtocolError

Writer = Callable[[Any], bytes]

NULL: Final = b"\x40"
_pack_u32 = struct.Struct(">I").pack


def encode(value: object) -> bytes:
    """Raises LocalProtocolError for a value that has no AMQP type or lies outside its type's range."""
    writer = _WRITERS.get(type(value)) or _writer_of_a_subclass(value)
    try:
        return writer(value)
    except (struct.error, UnicodeEncodeError, OverflowError) as error:
        raise LocalProtocolError(f"{type(value).__name__} value is outside its AMQP type's range: {error}") from error


def _writer_of_a_subclass(value: object) -> Writer:
    for python_type in type(value).__mro__[1:]:
        if python_type in _WRITERS:
            return _WRITERS[python_type]
    raise LocalProtocolError(f"{type(value).__name__} has no AMQP type")


def _fixed(code: int, layout: str) -> Writer:
    pack = struct.Struct(">B" + layout).pack

    def write(value: object) -> bytes:
        return pack(code, value)

    return write


_LONG_UINT = _fixed(0x70, "I")
_LONG_ULONG = _fixed(0x80, "Q")
_LONG_INT = _fixed(0x71, "i")
_LONG_LONG = _fixed(0x81, "q")


def encode_uint(value: int) -> bytes:
    if 0 < value < 256:
        return bytes((0x52, value))
    return b"\x43" if value == 0 else _LONG_UINT(value)


def encode_ulong(value: int) -> bytes:
    if 0 < value < 256:
        return bytes((0x53, value))
    return b"\x44" if value == 0 else _LONG_ULONG(value)


def _encode_int(value: int) -> bytes:
    return bytes((0x54, value & 0xFF)) if -128 <= value < 128 else _LONG_INT(value)


def encode_long(value: int) -> bytes:
    return bytes((0x55, value & 0xFF)) if -128 <= value < 128 else _LONG_LONG(value)


encode_timestamp = _fixed(0x83, "q")


def encode_boolean(value: bool) -> bytes:
    return b"\x41" if value else b"\x42"


def _sized(short_code: int, raw: bytes) -> bytes:
    """Binary, string and symbol: the long form's code is the short one's with 0x10 added."""
    size = len(raw)
    if size < 256:
        return bytes((short_code, size)) + raw
    return bytes((short_code + 0x10,)) + _pack_u32(size) + raw


def encode_binary(value: bytes) -> bytes:
    return _sized(0xA0, value)


def encode_string(value: str) -> bytes:
    return _sized(0xA1, value.encode())


def encode_symbol(value: str) -> bytes:
    return _sized(0xA3, value.encode("ascii"))


def _encode_char(value: str) -> bytes:
    if len(value) != 1:
        raise LocalProtocolError(f"an AMQP char is one character, not {len(value)}")
    return b"\x73" + value.encode("utf-32-be")


def _opaque(code: int, width: int) -> Writer:
    def write(value: bytes) -> bytes:
        if len(value) != width:
            raise LocalProtocolError(f"a decimal of {8 * width} bits is {width} bytes, not {len(value)}")
        return bytes((code,)) + value

    return write


def _encode_uuid(value: UUID) -> bytes:
    return b"\x98" + value.bytes


def _compound(short_code: int, count: int, body: bytes) -> bytes:
    size = len(body)
    if size < 255 and count < 256:
        return bytes((short_code, size + 1, count)) + body
    return bytes((short_code + 0x10,)) + _pack_u32(size + 4) + _pack_u32(count) + body


def encode_list(items: Iterable[bytes]) -> bytes:
    """A list of items that are encoded already."""
    encoded = list(items)
    return _compound(0xC0, len(encoded), b"".join(encoded)) if encoded else b"\x45"


def _encode_list(value: list[object]) -> bytes:
    return encode_list(map(encode, value))


def encode_map(value: dict[Any, object]) -> bytes:
    return encode_map_entries([encode(side) for entry in value.items() for side in entry])


def encode_map_entries(encoded: list[bytes]) -> bytes:
    """A map of keys and values in turn that are encoded already."""
    return _compound(0xC1, len(encoded), b"".join(encoded))


def _encode_described(value: types.Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _encode_array(value: types.Array) -> bytes:
    bare = _BARE_WRITERS.get(value.code)
    if bare is None:
        raise LocalProtocolError(f"0x{value.code:02x} is no constructor that an array's items can have")
    constructor = bytes((value.code,))
    if value.descriptor is not None:
        constructor = b"\x00" + encode(value.descriptor) + constructor
    return _compound(0xE0, len(value.items), constructor + b"".join([bare(item) for item in value.items]))


def encode_symbols(value: tuple[str, ...]) -> bytes:
    """A field that may hold several symbols: always as an array, null when there are none."""
    return encode(types.Array(0xA3, value)) if value else NULL


def described(code: int, body: bytes) -> bytes:
    """A described type of the specification's own, `code` below 256, around an encoded value."""
    return bytes((0x00, 0x53, code)) + body


_WRITERS: Final[dict[type, Writer]] = {
    type(None): lambda _value: NULL,
    bool: encode_boolean,
    int: encode_long,
    float: _fixed(0x82, "d"),
    str: encode_string,
    bytes: encode_binary,
    UUID: _encode_uuid,
    list: _encode_list,
    tuple: _encode_list,
    dict: encode_map,
    types.UByte: _fixed(0x50, "B"),
    types.UShort: _fixed(0x60, "H"),
    types.UInt: encode_uint,
    types.ULong: encode_ulong,
    types.Byte: _fixed(0x51, "b"),
    types.Short: _fixed(0x61, "h"),
    types.Int: _encode_int,
    types.Float: _fixed(0x72, "f"),
    types.Char: _encode_char,
    types.Symbol: encode_symbol,
    types.Timestamp: encode_timestamp,
    types.Decimal32: _opaque(0x74, 4),
    types.Decimal64: _opaque(0x84, 8),
    types.Decimal128: _opaque(0x94, 16),
    types.Described: _encode_described,
    types.Array: _encode_array,
}


def _bare_fixed(layout: str) -> Writer:
    pack = struct.Struct(layout).pack

    def write(value: object) -> bytes:
        return pack(value)

    return write


def _sized_bare(layout: str, encoding: str | None) -> Writer:
    pack = struct.Struct(layout).pack

    def write(value: Any) -> bytes:
        raw: bytes = value.encode(encoding) if encoding else value
        return pack(len(raw)) + raw

    return write


def _after_constructor(python_type: type, code: int) -> Writer:
    writer = _WRITERS[python_type]

    def write(value: Any) -> bytes:
        encoded = writer(value)
        if encoded[0] != code:
            raise LocalProtocolError(f"an item does not take the array's constructor 0x{code:02x}")
        return encoded[1:]

    return write


def _bare_compound(layout: str, writer: Writer) -> Writer:
    """Lists, maps and arrays inside an array: `layout` is that of size and count, whatever the short form would be."""
    pack = struct.Struct(layout).pack
    width = struct.calcsize(layout) // 2

    def write(value: Any) -> bytes:
        encoded = writer(value)
        count, body = _split_compound(encoded)
        return pack(len(body) + width, count) + body

    return write


def _split_compound(encoded: bytes) -> tuple[int, bytes]:
    if encoded == b"\x45":
        return 0, b""
    if encoded[0] & 0xF0 in {0xC0, 0xE0}:
        return encoded[2], encoded[3:]
    return int.from_bytes(encoded[5:9], "big"), encoded[9:]


def _constant(_value: object) -> bytes:
    return b""


_BARE_WRITERS: Final[dict[int, Writer]] = {
    **dict.fromkeys((0x40, 0x41, 0x42, 0x43, 0x44, 0x45), _constant),
    **{
        code: _bare_fixed(layout)
        for code, layout in {
            0x50: ">B",
            0x51: ">b",
            0x52: ">B",
            0x53: ">B",
            0x54: ">b",
            0x55: ">b",
            0x56: ">?",
            0x60: ">H",
            0x61: ">h",
            0x70: ">I",
            0x71: ">i",
            0x72: ">f",
            0x80: ">Q",
            0x81: ">q",
            0x82: ">d",
            0x83: ">q",
        }.items()
    },
    0x73: _after_constructor(types.Char, 0x73),
    0x74: _after_constructor(types.Decimal32, 0x74),
    0x84: _after_constructor(types.Decimal64, 0x84),
    0x94: _after_constructor(types.Decimal128, 0x94),
    0x98: _after_constructor(UUID, 0x98),
    0xA0: _sized_bare(">B", None),
    0xA1: _sized_bare(">B", "utf-8"),
    0xA3: _sized_bare(">B", "ascii"),
    0xB0: _sized_bare(">I", None),
    0xB1: _sized_bare(">I", "utf-8"),
    0xB3: _sized_bare(">I", "ascii"),
    0xC0: _bare_compound(">BB", _encode_list),
    0xC1: _bare_compound(">BB", encode_map),
    0xD0: _bare_compound(">II", _encode_list),
    0xD1: _bare_compound(">II", encode_map),
    0xE0: _bare_compound(">BB", _encode_array),
    0xF0: _bare_compound(">II", _encode_array),
}
