"""Bytes to values: one table, a constructor byte to the function that reads what follows it.

A reader takes (buffer, position, levels of nesting left) and returns (value, next position). Reading never
allocates more than the buffer holds: declared sizes and counts are checked against the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final
from uuid import UUID

from worker.emulator.amqp import types
from worker.emulator.amqp.errors import DecodeError

Reader = Callable[[bytes, int, int], tuple[object, int]]
Width = Callable[[bytes, int], tuple[int, int]]

MAX_NESTING: Final = 32
"""Levels of compound or described values. Real messages need five; Python's own stack allows a few hundred."""


def decode(buffer: bytes, position: int = 0) -> tuple[object, int]:
    """One value and the position behind it. Raises DecodeError, never anything else, whatever the bytes."""
    try:
        return read_any(buffer, position, MAX_NESTING)
    except FOREIGN_ERRORS as error:
        raise as_decode_error(error) from error


FOREIGN_ERRORS: Final = (IndexError, struct.error, UnicodeDecodeError, TypeError, ValueError, OverflowError)
"""What slicing past the end, bad UTF-8 or an unhashable map key raise: cheaper to translate than to look ahead."""


def as_decode_error(error: Exception) -> DecodeError:
    if isinstance(error, IndexError | struct.error):
        return DecodeError("the value is cut off: more bytes were declared or needed than came")
    if isinstance(error, TypeError):
        return DecodeError("a map key is a compound value")
    return DecodeError(f"malformed value: {error}")


def read_any(buffer: bytes, position: int, levels: int) -> tuple[object, int]:
    return READERS[buffer[position]](buffer, position + 1, levels)


def _constant(value: object) -> Reader:
    def read(_buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
        return value, position

    return read


def _fixed(layout: str, shape: Callable[[int], object] | Callable[[float], object] | None = None) -> Reader:
    unpack_from = struct.Struct(layout).unpack_from
    width = struct.calcsize(layout)

    if shape is None:

        def read_plain(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
            return unpack_from(buffer, position)[0], position + width

        return read_plain

    def read(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
        return shape(unpack_from(buffer, position)[0]), position + width

    return read


def _opaque(width: int, shape: Callable[[bytes], object]) -> Reader:
    def read(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
        end = position + width
        if end > len(buffer):
            raise IndexError
        return shape(buffer[position:end]), end

    return read


def _read_uuid(buffer: bytes, position: int, _levels: int) -> tuple[UUID, int]:
    end = position + 16
    return UUID(bytes=buffer[position:end]), end


def _read_boolean(buffer: bytes, position: int, _levels: int) -> tuple[bool, int]:
    value = buffer[position]
    if value > 1:
        raise DecodeError(f"a boolean's byte is 0 or 1, not {value}")
    return value == 1, position + 1


def _read_char(buffer: bytes, position: int, _levels: int) -> tuple[types.Char, int]:
    end = position + 4
    if end > len(buffer):
        raise IndexError
    return types.Char(buffer[position:end].decode("utf-32-be")), end


_unpack_u32 = struct.Struct(">I").unpack_from


def width1(buffer: bytes, position: int) -> tuple[int, int]:
    return buffer[position], position + 1


def width4(buffer: bytes, position: int) -> tuple[int, int]:
    value: int = _unpack_u32(buffer, position)[0]
    return value, position + 4


def _variable(width: Width, shape: Callable[[bytes], object]) -> Reader:
    def read(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
        size, start = width(buffer, position)
        end = start + size
        if end > len(buffer):
            raise IndexError
        return shape(buffer[start:end]), end

    return read


_WEIGHTLESS_ITEMS: Final = 255
"""Items of an array may take no byte at all (nulls, trues), so their count is bounded apart from the size."""


def _string(raw: bytes) -> str:
    return str(raw, "utf-8")


def _symbol(raw: bytes) -> types.Symbol:
    return types.Symbol(str(raw, "ascii"))


def bounds(width: Width, buffer: bytes, position: int) -> tuple[int, int, int]:
    """Of a compound value: (count of items, position of the first, end)."""
    size, start = width(buffer, position)
    end = start + size
    if end > len(buffer):
        raise IndexError
    count, first = width(buffer, start)
    if first + count > end and count > _WEIGHTLESS_ITEMS:
        raise DecodeError(f"{count} items cannot stand in {size} bytes")
    return count, first, end


def _list(width: Width) -> Reader:
    def read(buffer: bytes, position: int, levels: int) -> tuple[list[object], int]:
        if not levels:
            raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
        count, position, end = bounds(width, buffer, position)
        items = []
        for _ in range(count):
            item, position = READERS[buffer[position]](buffer, position + 1, levels - 1)
            items.append(item)
        if position != end:
            raise DecodeError("a list's items do not fill its size")
        return items, end

    return read


def _map(width: Width) -> Reader:
    def read(buffer: bytes, position: int, levels: int) -> tuple[dict[object, object], int]:
        if not levels:
            raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
        count, position, end = bounds(width, buffer, position)
        if count % 2:
            raise DecodeError(f"a map has keys and values in pairs, not {count} items")
        entries = {}
        for _ in range(count // 2):
            key, position = READERS[buffer[position]](buffer, position + 1, levels - 1)
            entries[key], position = READERS[buffer[position]](buffer, position + 1, levels - 1)
        if position != end:
            raise DecodeError("a map's entries do not fill its size")
        return entries, end

    return read


def _array(width: Width) -> Reader:
    def read(buffer: bytes, position: int, levels: int) -> tuple[types.Array, int]:
        if not levels:
            raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
        count, position, end = bounds(width, buffer, position)
        descriptor = None
        code = buffer[position]
        position += 1
        if code == 0x00:
            descriptor, position = read_any(buffer, position, levels - 1)
            code = buffer[position]
            position += 1
        if code == 0x00 or code not in CONSTRUCTORS:
            raise DecodeError(f"0x{code:02x} is no constructor that an array's items can have")
        reader = CONSTRUCTORS[code]
        items = []
        for _ in range(count):
            item, position = reader(buffer, position, levels - 1)
            items.append(item)
        if position != end:
            raise DecodeError("an array's items do not fill its size")
        return types.Array(code, tuple(items), descriptor), end

    return read


def _read_described(buffer: bytes, position: int, levels: int) -> tuple[types.Described, int]:
    if not levels:
        raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
    descriptor, position = read_any(buffer, position, levels - 1)
    value, position = read_any(buffer, position, levels - 1)
    return types.Described(descriptor, value), position


def _read_empty_list(_buffer: bytes, position: int, _levels: int) -> tuple[list[object], int]:
    return [], position


def _unknown(code: int) -> Reader:
    def read(_buffer: bytes, _position: int, _levels: int) -> tuple[object, int]:
        raise DecodeError(f"0x{code:02x} is no constructor of AMQP 1.0")

    return read


CONSTRUCTORS: Final[dict[int, Reader]] = {
    0x00: _read_described,
    0x40: _constant(None),
    0x41: _constant(value=True),
    0x42: _constant(value=False),
    0x43: _constant(types.UInt(0)),
    0x44: _constant(types.ULong(0)),
    0x45: _read_empty_list,
    0x50: _fixed(">B", types.UByte),
    0x51: _fixed(">b", types.Byte),
    0x52: _fixed(">B", types.UInt),
    0x53: _fixed(">B", types.ULong),
    0x54: _fixed(">b", types.Int),
    0x55: _fixed(">b"),
    0x56: _read_boolean,
    0x60: _fixed(">H", types.UShort),
    0x61: _fixed(">h", types.Short),
    0x70: _fixed(">I", types.UInt),
    0x71: _fixed(">i", types.Int),
    0x72: _fixed(">f", types.Float),
    0x73: _read_char,
    0x74: _opaque(4, types.Decimal32),
    0x80: _fixed(">Q", types.ULong),
    0x81: _fixed(">q"),
    0x82: _fixed(">d"),
    0x83: _fixed(">q", types.Timestamp),
    0x84: _opaque(8, types.Decimal64),
    0x94: _opaque(16, types.Decimal128),
    0x98: _read_uuid,
    0xA0: _variable(width1, bytes),
    0xA1: _variable(width1, _string),
    0xA3: _variable(width1, _symbol),
    0xB0: _variable(width4, bytes),
    0xB1: _variable(width4, _string),
    0xB3: _variable(width4, _symbol),
    0xC0: _list(width1),
    0xC1: _map(width1),
    0xD0: _list(width4),
    0xD1: _map(width4),
    0xE0: _array(width1),
    0xF0: _array(width4),
}
READERS: Final[list[Reader]] = [CONSTRUCTORS.get(code) or _unknown(code) for code in range(256)]

_FIXED_WIDTHS: Final = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def skip(buffer: bytes, position: int, levels: int = MAX_NESTING) -> int:
    """The position behind the value at `position`, found from its constructor's width class without reading it."""
    while buffer[position] == 0x00:
        if not levels:
            raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
        levels -= 1
        position = skip(buffer, position + 1, levels)
    width_class = buffer[position] >> 4
    if width_class in _FIXED_WIDTHS:
        end = position + 1 + _FIXED_WIDTHS[width_class]
    elif width_class in {0xA, 0xC, 0xE}:
        end = position + 2 + buffer[position + 1]
    elif width_class in {0xB, 0xD, 0xF}:
        end = position + 5 + int(_unpack_u32(buffer, position + 1)[0])
    else:
        raise DecodeError(f"0x{buffer[position]:02x} is no constructor of AMQP 1.0")
    if end > len(buffer):
        raise IndexError
    return end
