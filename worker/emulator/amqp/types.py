"""Python shapes of AMQP 1.0's types (part 1 of the specification).

Where Python has one obvious shape it is used: None, bool, `int` for long, `float` for double, `str`, `bytes`,
`uuid.UUID`, `list`, `dict`. The other widths are subclasses, so that a value goes back out as the type it came in.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

_Shape = TypeVar("_Shape", bound=type[tuple[object, ...]])


def distinct(shape: _Shape) -> _Shape:
    """Makes a NamedTuple equal to its own kind only; as tuples, an `Accepted()` and a `Released()` would be equal."""

    def is_same(self: object, other: object) -> bool:
        return type(self) is type(other) and isinstance(self, tuple) and tuple.__eq__(self, other)

    def is_other(self: object, other: object) -> bool:
        return not is_same(self, other)

    shape.__eq__ = is_same  # type: ignore[method-assign]  # what a class decorator is for
    shape.__ne__ = is_other  # type: ignore[method-assign]
    shape.__hash__ = tuple.__hash__  # type: ignore[method-assign]
    return shape


class UByte(int):
    __slots__ = ()


class UShort(int):
    __slots__ = ()


class UInt(int):
    __slots__ = ()


class ULong(int):
    __slots__ = ()


class Byte(int):
    __slots__ = ()


class Short(int):
    __slots__ = ()


class Int(int):
    __slots__ = ()


class Float(float):
    """A 32-bit float; `float` itself is the 64-bit double."""

    __slots__ = ()


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class Symbol(str):
    """ASCII only."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since the Unix epoch."""

    __slots__ = ()


class Decimal32(bytes):
    """Four bytes of IEEE 754 decimal, not interpreted."""

    __slots__ = ()


class Decimal64(bytes):
    """Eight bytes of IEEE 754 decimal, not interpreted."""

    __slots__ = ()


class Decimal128(bytes):
    """Sixteen bytes of IEEE 754 decimal, not interpreted."""

    __slots__ = ()


class Described(NamedTuple):
    descriptor: object
    value: object


class Array(NamedTuple):
    """Items of one wire type. `code` is their constructor; `descriptor` is set where each item is a described type."""

    code: int
    items: tuple[object, ...]
    descriptor: object = None
