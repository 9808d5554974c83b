from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.emulator.amqp import types
from worker.emulator.amqp.decode import decode, skip
from worker.emulator.amqp.encode import encode
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.types import Array, Described


def integers(shape: Callable[[int], int], bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high).map(shape)


symbols = st.text(st.characters(max_codepoint=127), max_size=300).map(types.Symbol)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers(types.UByte, 8, signed=False),
    integers(types.UShort, 16, signed=False),
    integers(types.UInt, 32, signed=False),
    integers(types.ULong, 64, signed=False),
    integers(types.Byte, 8, signed=True),
    integers(types.Short, 16, signed=True),
    integers(types.Int, 32, signed=True),
    integers(int, 64, signed=True),
    integers(types.Timestamp, 64, signed=True),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(types.Float),
    st.text(max_size=300),
    symbols,
    st.characters(codec="utf-8").map(types.Char),
    st.binary(max_size=300),
    st.uuids(),
    st.binary(min_size=4, max_size=4).map(types.Decimal32),
    st.binary(min_size=16, max_size=16).map(types.Decimal128),
)
arrays = st.one_of(
    st.lists(st.text(max_size=80), max_size=5).map(lambda items: Array(0xB1, tuple(items))),
    st.lists(st.text(max_size=80).map(str), max_size=5).map(lambda items: Array(0xB1, tuple(items), types.ULong(7))),
    st.lists(st.uuids(), max_size=20).map(lambda items: Array(0x98, tuple(items))),
    st.lists(st.lists(scalars, max_size=3), max_size=3).map(lambda items: Array(0xD0, tuple(items))),
)
values = st.recursive(
    st.one_of(scalars, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=5), inner, max_size=5),
        st.builds(Described, symbols, inner),
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same wire type all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@given(values)
def test_a_value_comes_back_as_itself_and_of_its_own_type(value: object) -> None:
    encoded = encode(value)
    decoded, end = decode(encoded)
    assert same(decoded, value)
    assert end == len(encoded) == skip(encoded, 0)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_decode_or_are_a_decode_error(data: bytes) -> None:
    try:
        _, end = decode(data)
    except DecodeError:
        return
    assert 0 < end <= len(data)


@given(values, st.data())
def test_a_value_with_a_byte_changed_decodes_or_is_a_decode_error(value: object, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded, _ = decode(bytes(encoded))
    except DecodeError:
        return
    again = encode(decoded)
    assert encode(decode(again)[0]) == again
