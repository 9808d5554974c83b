"""Typed fields of composite types: a composite is a list on the wire and a NamedTuple here, in the same order.

Reading a field and checking its type is one look-up: a field's table holds only the constructors its type allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from worker.emulator.amqp import types
from worker.emulator.amqp.decode import CONSTRUCTORS, MAX_NESTING, Reader, bounds, width4
from worker.emulator.amqp.encode import (
    NULL,
    Writer,
    described,
    encode,
    encode_binary,
    encode_boolean,
    encode_list,
    encode_map,
    encode_string,
    encode_symbol,
    encode_symbols,
    encode_uint,
    encode_ulong,
)
from worker.emulator.amqp.errors import DecodeError


class Kind(NamedTuple):
    """A field's type: how it is read and how it is written."""

    readers: Mapping[int, Reader]
    write: Writer


class Field(NamedTuple):
    kind: Kind
    default: object = None
    is_mandatory: bool = False


def _of(codes: tuple[int, ...], write: Writer) -> Kind:
    return Kind({code: CONSTRUCTORS[code] for code in (0x40, *codes)}, write)


def _plain(reader: Reader) -> Reader:
    """Numbers of a performative need no wire type of their own: the field has it."""

    def read(buffer: bytes, position: int, levels: int) -> tuple[object, int]:
        value, position = reader(buffer, position, levels)
        return int(value), position  # type: ignore[call-overload]  # only number readers are wrapped

    return read


def _small(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
    return buffer[position], position + 1


def _zero(_buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
    return 0, position


def _u32(buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
    end = position + 4
    if end > len(buffer):
        raise IndexError
    return int.from_bytes(buffer[position:end], "big"), end


def _read_symbols(buffer: bytes, position: int, levels: int, *, code: int) -> tuple[object, int]:
    value, position = CONSTRUCTORS[code](buffer, position, levels)
    items = value.items if isinstance(value, types.Array) else (value,)
    if not all(isinstance(item, types.Symbol) for item in items):
        raise DecodeError("symbols were expected")
    return items, position


def _symbols_reader(code: int) -> Reader:
    def read(buffer: bytes, position: int, levels: int) -> tuple[object, int]:
        return _read_symbols(buffer, position, levels, code=code)

    return read


def _no_symbols(_buffer: bytes, position: int, _levels: int) -> tuple[object, int]:
    return (), position


_NULL: Final = CONSTRUCTORS[0x40]
BOOLEAN: Final = _of((0x41, 0x42, 0x56), encode_boolean)
UBYTE: Final = Kind({0x40: _NULL, 0x50: _small}, lambda value: bytes((0x50, value)))
USHORT: Final = Kind(
    {0x40: _NULL, 0x60: _plain(CONSTRUCTORS[0x60])}, lambda value: b"\x60" + int(value).to_bytes(2, "big")
)
UINT: Final = Kind({0x40: _NULL, 0x43: _zero, 0x52: _small, 0x70: _u32}, encode_uint)
ULONG: Final = Kind({0x40: _NULL, 0x44: _zero, 0x53: _small, 0x80: _plain(CONSTRUCTORS[0x80])}, encode_ulong)
BINARY: Final = _of((0xA0, 0xB0), encode_binary)
STRING: Final = _of((0xA1, 0xB1), encode_string)
SYMBOL: Final = _of((0xA3, 0xB3), encode_symbol)
TIMESTAMP: Final = _of((0x83,), encode)
MAP: Final = _of((0xC1, 0xD1), encode_map)
ID: Final = _of((0x44, 0x53, 0x80, 0x98, 0xA0, 0xB0, 0xA1, 0xB1), encode)
"""A message id: of four types, and an answer's correlation id must have its request's."""
ANY: Final = Kind(CONSTRUCTORS, encode)
SYMBOLS: Final = Kind(
    {0x40: _no_symbols, **{code: _symbols_reader(code) for code in (0xA3, 0xB3, 0xE0, 0xF0)}}, encode_symbols
)


class Composite:
    """One composite type: its descriptor, its fields, and the NamedTuple that holds them."""

    __slots__ = ("_defaults", "_make", "_mandatory", "_readers", "_writers", "code", "name")

    def __init__(self, code: int, shape: type[Any], *fields: Field) -> None:
        if len(fields) != len(shape._fields):
            raise TypeError(f"{shape.__name__} has {len(shape._fields)} fields, not {len(fields)}")
        self.code = code
        self.name: str = shape.__name__
        self._make: Callable[[list[Any]], Any] = shape._make
        self._readers = tuple(field.kind.readers for field in fields)
        self._writers = tuple(field.kind.write for field in fields)
        self._defaults = tuple((at, field.default) for at, field in enumerate(fields) if field.default is not None)
        self._mandatory = tuple((at, shape._fields[at]) for at, field in enumerate(fields) if field.is_mandatory)

    def read(self, buffer: bytes, position: int, levels: int) -> tuple[Any, int]:
        """The value whose list begins at `position`, behind its descriptor. Missing and null fields get defaults."""
        code = buffer[position]
        if code == 0xC0:
            count = buffer[position + 2]
            end = position + 2 + buffer[position + 1]
            position += 3
        elif code == 0x45:
            count, position, end = 0, position + 1, position + 1
        elif code == 0xD0:
            count, position, end = bounds(width4, buffer, position + 1)
        else:
            raise DecodeError(f"{self.name} is a list, not 0x{code:02x}")
        readers = self._readers
        if count > len(readers):
            raise DecodeError(f"{self.name} has {len(readers)} fields, not {count}")
        values: list[Any] = []
        try:
            for table in readers[:count]:
                value, position = table[buffer[position]](buffer, position + 1, levels)
                values.append(value)
        except KeyError:
            raise self._wrong_type(len(values), buffer[position]) from None
        if position != end:
            raise DecodeError(f"the fields of {self.name} do not fill its size")
        if count < len(readers):
            values += _NOTHING[: len(readers) - count]
        for at, default in self._defaults:
            if values[at] is None:
                values[at] = default
        for at, name in self._mandatory:
            if values[at] is None:
                raise DecodeError(f"{self.name} came without its {name}")
        return self._make(values), end

    def _wrong_type(self, at: int, code: int) -> DecodeError:
        return DecodeError(f"field {at} of {self.name} cannot be of the type 0x{code:02x}")

    def write(self, value: tuple[object, ...]) -> bytes:
        """With descriptor. Nothing is left out at the end: some clients index fields without asking how many came."""
        fields = (NULL if item is None else write(item) for write, item in zip(self._writers, value, strict=True))
        return described(self.code, encode_list(fields))


_NOTHING: Final = [None] * 32


def read_descriptor(buffer: bytes, position: int, names: Mapping[str, int]) -> tuple[int | None, int]:
    """At a described value: (its numeric descriptor, where the value begins). None: no described value stands here.

    `names` holds the symbolic descriptors, which mean the same. An unknown one is -1.
    """
    if buffer[position] != 0x00:
        return None, position
    code = buffer[position + 1]
    if code == 0x53:
        return buffer[position + 2], position + 3
    reader = CONSTRUCTORS.get(code)
    if reader is None:
        raise DecodeError(f"0x{code:02x} is no constructor of AMQP 1.0")
    descriptor, position = reader(buffer, position + 2, MAX_NESTING)
    if isinstance(descriptor, types.ULong):
        return int(descriptor), position
    if isinstance(descriptor, types.Symbol):
        return names.get(descriptor, -1), position
    return -1, position


def one_of(*composites: Composite, otherwise: Reader | None = None) -> Kind:
    """A field that holds one of these described types; `otherwise` reads what else may stand there."""
    by_code = {composite.code: composite for composite in composites}

    def read(buffer: bytes, position: int, levels: int) -> tuple[object, int]:
        if not levels:
            raise DecodeError(f"values are nested more than {MAX_NESTING} levels deep")
        code, start = read_descriptor(buffer, position - 1, {})
        composite = by_code.get(code) if code is not None else None
        if composite is not None:
            return composite.read(buffer, start, levels - 1)
        if otherwise is not None:
            return otherwise(buffer, position, levels)
        raise DecodeError(f"a described {' or '.join(composite.name for composite in composites)} was expected")

    return Kind({0x40: _NULL, 0x00: read}, encode)
