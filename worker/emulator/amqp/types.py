"""Python shapes of AMQP 1.0's types (part 1 of the specification).

Where Python has one obvious shape it is used: None, bool, `int` for long, `float` for double, `str`, `bytes`,
`uuid.UUID`, `list`, `dict`. The other widths are subclasses, so that a value goes back out as the type it came in.
"""

from __future__ import annotations

from typing import NamedTuple


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
