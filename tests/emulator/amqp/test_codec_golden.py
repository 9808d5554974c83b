"""Bytes by hand, from the specification's tables and examples."""

import math
from uuid import UUID

import pytest

from worker.emulator.amqp import types
from worker.emulator.amqp.decode import decode
from worker.emulator.amqp.encode import encode
from worker.emulator.amqp.errors import DecodeError, LocalProtocolError
from worker.emulator.amqp.types import Array, Described, Symbol

SHORTEST = [
    ("40", None),
    ("41", True),
    ("42", False),
    ("50 ff", types.UByte(255)),
    ("60 01 02", types.UShort(258)),
    ("43", types.UInt(0)),
    ("52 07", types.UInt(7)),
    ("70 00 01 00 00", types.UInt(65536)),
    ("44", types.ULong(0)),
    ("53 10", types.ULong(16)),
    ("80 00 00 00 01 00 00 00 00", types.ULong(2**32)),
    ("51 ff", types.Byte(-1)),
    ("61 ff fe", types.Short(-2)),
    ("54 80", types.Int(-128)),
    ("71 00 00 00 80", types.Int(128)),
    ("55 ff", -1),
    ("81 00 00 00 00 00 01 00 00", 65536),
    ("72 3f 80 00 00", types.Float(1.0)),
    ("82 3f f0 00 00 00 00 00 00", 1.0),
    ("73 00 01 f6 00", types.Char("😀")),
    ("74 22 50 00 01", types.Decimal32(b"\x22\x50\x00\x01")),
    ("84 22 34 00 00 00 00 00 01", types.Decimal64(b"\x22\x34\0\0\0\0\0\x01")),
    ("94 22 08" + " 00" * 13 + " 01", types.Decimal128(b"\x22\x08" + b"\0" * 13 + b"\x01")),
    ("83 00 00 01 8b cf e5 68 00", types.Timestamp(1_700_000_000_000)),
    ("98 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f", UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")),
    ("a0 02 00 ff", b"\x00\xff"),
    ("a1 03 e2 82 ac", "€"),
    ("a3 04 61 6d 71 70", Symbol("amqp")),
    ("45", []),
    ("c0 04 02 41 54 05", [True, types.Int(5)]),
    ("c1 07 02 a3 01 6b a1 01 76", {Symbol("k"): "v"}),
    ("e0 06 02 a3 01 61 01 62", Array(0xA3, (Symbol("a"), Symbol("b")))),
]


@pytest.mark.parametrize(("hexadecimal", "value"), SHORTEST)
def test_each_type_has_the_bytes_of_the_specification(hexadecimal: str, value: object) -> None:
    encoded = bytes.fromhex(hexadecimal)
    assert encode(value) == encoded
    decoded, end = decode(encoded)
    assert decoded == value
    assert type(decoded) is type(value)
    assert end == len(encoded)


@pytest.mark.parametrize(
    ("hexadecimal", "value"),
    [
        ("56 01", True),
        ("56 00", False),
        ("70 00 00 00 07", types.UInt(7)),
        ("80 00 00 00 00 00 00 00 10", types.ULong(16)),
        ("71 ff ff ff ff", types.Int(-1)),
        ("81 ff ff ff ff ff ff ff ff", -1),
        ("b0 00 00 00 01 07", b"\x07"),
        ("b1 00 00 00 01 78", "x"),
        ("b3 00 00 00 01 78", Symbol("x")),
        ("d0 00 00 00 05 00 00 00 01 40", [None]),
        ("d1 00 00 00 06 00 00 00 02 41 42", {True: False}),
        ("f0 00 00 00 07 00 00 00 02 50 01 02", Array(0x50, (types.UByte(1), types.UByte(2)))),
        ("e0 02 03 41", Array(0x41, (True, True, True))),
    ],
)
def test_longer_encodings_mean_the_same(hexadecimal: str, value: object) -> None:
    assert decode(bytes.fromhex(hexadecimal))[0] == value


def test_the_described_url_of_section_1_1_2() -> None:
    encoded = b"\x00\xa1\x03URL\xa1\x1ehttp://example.org/hello-world"
    url = Described("URL", "http://example.org/hello-world")
    assert decode(encoded) == (url, len(encoded))
    assert encode(url) == encoded


def test_the_book_of_section_1_4() -> None:
    encoded = (
        b"\x00\xa3\x11example:book:list\xc0\x40\x03\xa1\x15AMQP for & by Dummies"
        b"\xe0\x25\x02\xa1\x0eRob J. Godfrey\x13Rafael H. Schloming\x40"
    )
    authors = Array(0xA1, ("Rob J. Godfrey", "Rafael H. Schloming"))
    book = Described(Symbol("example:book:list"), ["AMQP for & by Dummies", authors, None])
    assert decode(encoded) == (book, len(encoded))
    assert encode(book) == encoded


def test_an_array_of_described_items_has_one_descriptor_for_all() -> None:
    encoded = bytes.fromhex("e0 07 02 00 53 70 50 01 02")
    array = Array(0x50, (types.UByte(1), types.UByte(2)), types.ULong(0x70))
    assert encode(array) == encoded
    assert decode(encoded) == (array, len(encoded))


def test_not_a_number_survives() -> None:
    decoded, _ = decode(encode(math.nan))
    assert isinstance(decoded, float)
    assert math.isnan(decoded)


@pytest.mark.parametrize(
    ("hexadecimal", "complaint"),
    [
        ("", "cut off"),
        ("70 00 00", "cut off"),
        ("a1 05 61", "cut off"),
        ("b0 ff ff ff ff 00", "cut off"),
        ("98 00", "16"),
        ("3f", "0x3f is no constructor"),
        ("56 02", "0 or 1"),
        ("a1 01 ff", "utf-8"),
        ("a3 01 ff", "ascii"),
        ("73 00 00 d8 00", "malformed"),
        ("73", "cut off"),
        ("c0 02 05 40", "do not fill|cut off"),
        ("c0 03 01 40 40", "do not fill"),
        ("d0 00 00 00 04 ff ff ff ff", "cannot stand"),
        ("c1 02 01 40", "pairs"),
        ("c1 03 02 45 40", "compound"),
        ("f0 00 00 00 05 ff ff ff ff 40", "cannot stand"),
        ("e0 03 02 50 01", "cut off|do not fill"),
    ],
)
def test_malformed_bytes_are_a_decode_error_that_says_what_is_wrong(hexadecimal: str, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode(bytes.fromhex(hexadecimal))


@pytest.mark.parametrize("opening", [b"\x00", b"\x00\x44", b"\xc0\xff\x01", b"\xe0\xff\x01"])
def test_nesting_without_end_is_a_decode_error(opening: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(opening * 50_000)


@pytest.mark.parametrize(
    "value",
    [types.UByte(256), types.UInt(-1), 2**63, Symbol("é"), object(), types.Char("ab"), types.Decimal32(b"1"),
     Array(0x01, (1,)), Array(0x50, (types.UByte(300),))],
)  # fmt: skip
def test_what_no_amqp_type_holds_is_this_sides_own_error(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode(value)
