"""Bytes put together by hand from MC-NBFX, section by section; a document here is short enough to be read aloud."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.binary_reader import read_binary
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import MAX_DEPTH, MAX_ELEMENTS, Element

START, END = b"\x40\x01r", b"\x01"
UUID_BYTES = bytes.fromhex("00112233445566778899aabbccddeeff")
TICKS_OF_2024 = 638_396_640_000_000_000


def broken(body: bytes) -> str:
    with pytest.raises(ContextBroken) as refused:
        read_binary(body)
    return str(refused.value)


def int31(number: int) -> bytes:
    low_first = []
    while number >= 0x80:
        low_first.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*low_first, number])


def with_table(*strings: bytes, document: bytes) -> bytes:
    table = b"".join(int31(len(string)) + string for string in strings)
    return int31(len(table)) + table + document


def date(ticks: int, kind: int = 1) -> bytes:
    return b"\x96" + (kind << 62 | ticks).to_bytes(8, "little")


def duration(ticks: int) -> bytes:
    return b"\xae" + ticks.to_bytes(8, "little", signed=True)


def decimal(*, coefficient: int, scale: int, sign: int = 0) -> bytes:
    high, low = divmod(coefficient, 1 << 64)
    return b"\x94\0\0" + bytes([scale, sign]) + high.to_bytes(4, "little") + low.to_bytes(8, "little")


TEXTS: list[tuple[bytes, Any]] = [
    (b"\x80", 0),
    (b"\x82", 1),
    (b"\x84", False),
    (b"\x86", True),
    (b"\x88\xde", -34),
    (b"\x8a\x00\x80", -32768),
    (b"\x8c\x15\xcd\x5b\x07", 123456789),
    (b"\x8e\x00\x00\x00\x80\x00\x00\x00\x00", 2147483648),
    (b"\x90\x00\x00\xc0\x3f", 1.5),
    (b"\x92\x74\x57\x14\x8b\x0a\xbf\x05\x40", 2.71828182845905),
    (b"\x90\x00\x00\x80\x7f", float("inf")),
    (b"\x92\x00\x00\x00\x00\x00\x00\xf0\xff", float("-inf")),
    (decimal(coefficient=5123456, scale=6), Decimal("5.123456")),
    (decimal(coefficient=(1 << 96) - 1, scale=28, sign=0x80), Decimal("-7.9228162514264337593543950335")),
    (decimal(coefficient=100, scale=2), Decimal("1.00")),
    (date(TICKS_OF_2024), datetime(2024, 1, 1, tzinfo=UTC)),
    (date(TICKS_OF_2024 + 15, kind=0), datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    (date(TICKS_OF_2024, kind=2), datetime(2024, 1, 1, tzinfo=UTC)),
    (date(0), datetime(1, 1, 1, tzinfo=UTC)),
    (date(3_155_378_975_999_999_999), datetime.max.replace(tzinfo=UTC)),
    (b"\x98\x05hello", "hello"),
    (b"\x98\x02\xc3\xbc", "ü"),
    (b"\x9a\x05\x00hello", "hello"),
    (b"\x9c\x05\x00\x00\x00hello", "hello"),
    (b"\x9e\x03\x00\x01\xff", b"\x00\x01\xff"),
    (b"\xa0\x01\x00\x07", b"\x07"),
    (b"\xa2\x01\x00\x00\x00\x07", b"\x07"),
    (b"\xa8", ""),
    (b"\xac" + UUID_BYTES, "urn:uuid:33221100-5544-7766-8899-aabbccddeeff"),
    (duration(0), "PT0S"),
    (duration(-3_440_000_000), "-PT5M44S"),
    (duration(937_845_000_000 + 864_000_000_000), "P2DT2H3M4.5S"),
    (duration(864_000_000_000), "P1D"),
    (duration(1), "PT0.0000001S"),
    (duration(120_000_000_000), "PT3H20M"),
    (b"\xb0" + UUID_BYTES, "33221100-5544-7766-8899-aabbccddeeff"),
    (b"\xb2" + b"\xff" * 8, (1 << 64) - 1),
    (b"\xb4\x00", False),
    (b"\xb4\x01", True),
    (b"\xb6\x06u\x00n\x00i\x00", "uni"),
    (b"\xb8\x04\x00\x3d\xd8\x00\xde", "😀"),
    (b"\xba\x02\x00\x00\x00\xfc\x00", "ü"),
]


@pytest.mark.parametrize(("record", "value"), TEXTS, ids=lambda part: part.hex() if isinstance(part, bytes) else "")
def test_every_text_record_is_read_with_and_without_the_end_of_its_element(record: bytes, value: Any) -> None:
    ending = bytes([record[0] + 1]) + record[1:]
    for text in (read_binary(START + record + END).text, read_binary(START + ending).text):
        assert (type(text), text) == (type(value), value)
    child = read_binary(START + START + ending + END).children[0].text
    assert (type(child), child) == (type(value), value)


def test_a_number_that_is_none_stays_a_float() -> None:
    text = read_binary(START + b"\x93\x00\x00\x00\x00\x00\x00\xf8\x7f").text
    assert isinstance(text, float)
    assert isnan(text)


def test_a_decimal_keeps_its_places() -> None:
    assert str(read_binary(START + decimal(coefficient=100, scale=2) + END).text) == "1.00"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (END, None),
        (b"\x98\x02ab\x02\x01!\x99\x01c", "abc"),
        (b"\x98\x02a \x88\x07\x98\x01 \x87", "a 7 true"),
        (b"\x9e\x02\x00\x01\x9f\x01\x02", b"\x00\x01\x02"),
        (b"\x9e\x03\x00\x01\x02\x99\x01!", "AAEC!"),
        (b"\xa4\x88\x7b\x98\x05hello\x86\xa6\x01", "123 hello true"),
        (b"\xa4\x88\x7b\x82\xa7", "123 1"),
        (b"\xa4\xa7", ""),
        (b"\xa8\x02\x00\x01", ""),
    ],
)
def test_texts_of_one_element_are_put_together(content: bytes, text: Any) -> None:
    assert read_binary(START + content) == Element("r", text=text)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x40\x03doc", "doc"),
        (b"\x41\x03pre\x03doc", "doc"),
        *((bytes([0x5E + letter]) + b"\x03doc", "doc") for letter in range(26)),
        (b"\x40\x80\x01" + b"n" * 128, "n" * 128),
        (b"\x40\x02\xc3\xbc", "ü"),
    ],
)
def test_every_record_of_an_element_gives_the_name_without_its_prefix(start: bytes, name: str) -> None:
    assert read_binary(start + END) == Element(name)
    twice = start + b"\x98\x01a" + END
    assert read_binary(START + twice + twice + END).children == [Element(name, text="a")] * 2


@pytest.mark.parametrize(
    "start", [b"\x42\x03", b"\x43\x03pre\x03", *(bytes([0x44 + letter, 0x03]) for letter in range(26))]
)
def test_a_name_can_refer_to_the_table_in_front(start: bytes) -> None:
    assert read_binary(with_table(b"one", b"two", document=start + END)) == Element("two")
    assert "number 3 of a string dictionary that isn't in the body" in broken(start + END)


@pytest.mark.parametrize(
    "attribute",
    [b"\x04\x04type", b"\x05\x01i\x04type", *(bytes([0x26 + letter]) + b"\x04type" for letter in range(26))],
)
def test_every_record_of_an_attribute_can_give_the_type(attribute: bytes) -> None:
    typed = START + attribute + b"\x98\x08b:string\x99\x01x"
    assert read_binary(typed) == Element("r", "string", text="x")
    assert read_binary(START + typed + typed + END).children == [Element("r", "string", text="x")] * 2


@pytest.mark.parametrize(
    "attribute", [b"\x06\x01", b"\x07\x01i\x01", *(bytes([0x0C + letter, 0x01]) for letter in range(26))]
)
def test_attributes_and_their_types_can_refer_to_the_table(attribute: bytes) -> None:
    for value in (b"\xbc\x01\x03", b"\xaa\x05"):
        body = with_table(b"type", b"string", b"b:string", document=START + attribute + value + END)
        assert read_binary(body) == Element("r", "string")


@pytest.mark.parametrize(
    ("value", "is_nil"),
    [
        (b"\x86", True),
        (b"\x82", True),
        (b"\xb4\x01", True),
        (b"\x98\x04true", True),
        (b"\x98\x011", True),
        (b"\x84", False),
        (b"\x80", False),
        (b"\x98\x05false", False),
    ],
)
def test_nil_is_true_or_one(value: bytes, is_nil: bool) -> None:
    assert read_binary(START + b"\x2e\x03nil" + value + END) == Element("r", is_nil=is_nil)


def test_declarations_and_other_attributes_are_passed_over() -> None:
    declared = b"\x08\x03urn\x09\x01i\x03urn\x09\x01i\x80\x01" + b"u" * 128 + b"\x0a\x01\x0b\x01i\x01"
    other = b"\x04\x02id\xa4\x88\x07\x86\xa6\x2e\x03nil\x86"
    assert read_binary(with_table(b"urn", document=START + declared + other + END)) == Element("r", is_nil=True)


def test_white_space_and_comments_between_elements_and_around_the_root_are_dropped() -> None:
    space = b"\x98\x03\r\n\t\x02\x02hi\xa8"
    assert read_binary(space + START + space + START + END + space + END + space) == Element(
        "r", children=[Element("r")]
    )


@pytest.mark.parametrize("content", [b"\x98\x01x" + START + END + END, START + END + b"\x89\x07"])
def test_text_beside_elements_is_refused(content: bytes) -> None:
    assert "expected text or elements in 'r'" in broken(START + content)


@pytest.mark.parametrize(
    ("items", "values"),
    [
        (b"\xb5\x02\x01\x00", [True, False]),
        (b"\x8b\x03\x33\x33\x88\x88\xdd\xdd", [13107, -30584, -8739]),
        (b"\x8d\x01\x07\x00\x00\x00", [7]),
        (b"\x8f\x01\x07" + b"\x00" * 7, [7]),
        (b"\x91\x02\x00\x00\xc0\x3f\x00\x00\x00\xbf", [1.5, -0.5]),
        (b"\x93\x01\x00\x00\x00\x00\x00\x00\xf8\x3f", [1.5]),
        (b"\x95\x01" + decimal(coefficient=15, scale=1)[1:], [Decimal("1.5")]),
        (b"\x97\x01" + date(TICKS_OF_2024)[1:], [datetime(2024, 1, 1, tzinfo=UTC)]),
        (b"\xaf\x01" + duration(10_000_000)[1:], ["PT1S"]),
        (b"\xb1\x01" + UUID_BYTES, ["33221100-5544-7766-8899-aabbccddeeff"]),
    ],
)
def test_an_array_stands_for_elements_beside_each_other(items: bytes, values: list[Any]) -> None:
    array = b"\x03\x5f\x03arr\x2e\x04type\x98\x05x:int\x01" + items
    expected = [Element("arr", "int", text=value) for value in values]
    assert read_binary(START + array + START + END + END).children == [*expected, Element("r")]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "expected the rest of the document at byte 0, found the end of the body"),
        (b"\x7f", "expected a record of an element at byte 0, found 0x7f"),
        (END, "expected a record of an element at byte 0, found 0x01"),
        (b"\xa8\x03", "expected a record of an element at byte 1, found 0x03"),
        (b"\x98\x01x" + START + END, "expected a record of an element at byte 0, found 0x98"),
        (START + b"\x7f", "expected a record of an element or its content at byte 3, found 0x7f"),
        (START + b"\x98\x01a\x04\x01a\x86\x01", "at byte 6, found 0x04"),
        (START + b"\xa5", "at byte 3, found 0xa5"),
        (START + b"\xa6", "at byte 3, found 0xa6"),
        (START + b"\xbe", "at byte 3, found 0xbe"),
        (START + END + END, "expected nothing behind the root at byte 4, found 0x01"),
        (START + END + START + END, "expected nothing behind the root at byte 4, found 0x40"),
        (START + END + b"\x88\x07", "expected nothing behind the root at byte 4, found 0x88"),
        (START + b"\x99\x05hell", "expected 5 bytes at byte 5, found 4"),
        (START + START + b"\x99\x05hell", "at byte 12, found the end of the body"),
        (START + b"\x9d\xff\xff\xff\xffhell", "expected 4294967295 bytes at byte 8, found 4"),
        (START + b"\x99\x02a\xff", "expected UTF-8 at byte 6"),
        (START + START + b"\x99\x02a\xff" + END, "expected UTF-8 at byte 9"),
        (START + b"\xb7\x02\x00\xd8", "expected UTF-16-LE at byte 5"),
        (START + b"\xb7\x03a\x00b", "expected UTF-16-LE at byte 7"),
        (b"\x40\x01\xff" + END, "expected UTF-8 at byte 2"),
        (b"\x40\x00" + END, "expected a name at byte 1, found none"),
        (b"\x40\xff\xff\xff\xff\xff\x01", "expected a number of 31 bits at byte 1"),
        (b"\x40\xff\xff\xff\xff\x0f", "expected a number of 31 bits at byte 1"),
        (START + b"\xb5\x02", "expected 0 or 1 for a truth value at byte 4, found 2"),
        (START + decimal(coefficient=1, scale=29) + END, "scale 29"),
        (START + decimal(coefficient=1, scale=0, sign=1) + END, "sign 0x01"),
        (START + date(3_155_378_976_000_000_000) + END, "expected a date up to the year 9999 at byte 4"),
        (START + b"\xab\x02", "expected a string at byte 4, found number 2 of a string dictionary that isn't in the"),
        (START + b"\x0a\x05" + END, "number 5 of a string dictionary"),
        (START + b"\xbd\x1a\x01", "expected a prefix from 0 to 25 at byte 4, found 26"),
        (START + b"\xa4\xa4\xa6\xa6" + END, "expected a text record in a list at byte 4, found 0xa4"),
        (START + b"\xa4\x83", "expected a text record in a list at byte 4, found 0x83"),
        (START + b"\x04\x01a\x87", "expected the text of an attribute at byte 6, found 0x87"),
        (START + b"\x04\x01a" + END, "expected the text of an attribute at byte 6, found 0x01"),
        (START + START + END + START + b"\x04\x04type" + START + END, "expected the text of an attribute at byte 16"),
        (START + b"\x04\x01a\xa4\xa7" + END, "expected the list of an attribute to end at byte 7"),
        (b"\x03" + START + END + b"\x8d\x01\0\0\0\0", "expected a record of an element at byte 0, found 0x03"),
        (START + b"\x03\x99\x01", "expected a record of an element at byte 4, found 0x99"),
        (START + b"\x03" + START + b"\x8d", "expected the end of an array's element at byte 7, found 0x8d"),
        (START + b"\x03" + START + b"\x01\x8c\x01", "expected the type of an array's items at byte 8, found 0x8c"),
        (START + b"\x03" + START + b"\x01\x8d\x00\x01", "items in the array at byte 9, found 0"),
        (START + b"\x03" + START + b"\x01\x8d\x02\0\0\0\0\x01", "expected 2 items at byte 10, found the end"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(body: bytes, sentence: str) -> None:
    assert sentence in broken(body)


def test_a_table_can_be_empty_or_hold_strings_that_nobody_needs() -> None:
    assert read_binary(b"\x00" + START + END) == Element("r")
    assert read_binary(with_table(b"unused", document=START + END)) == Element("r")


@pytest.mark.parametrize("length", range(0x40, 0x78))
def test_a_table_whose_length_looks_like_an_element_is_still_a_table(length: int) -> None:
    name = b"n" * (length - 3)
    body = with_table(name, b"x", document=b"\x42\x01\xab\x03")
    assert body[0] == length
    assert read_binary(body) == Element(name.decode(), text="x")


def test_a_plain_document_that_can_be_read_as_a_table_stays_plain() -> None:
    as_table_too = b"\x40\x3f" + b"n" * 0x3F + START + END
    assert read_binary(as_table_too + END) == Element("n" * 0x3F, children=[Element("r")])
    assert "expected the rest of the document" in broken(as_table_too)


@pytest.mark.parametrize(
    "body",
    [
        b"\x05\x03one\x42\x01\x01",  # the table is one byte longer than its string
        b"\x03\x03one\x42\x01\x01",  # and one shorter
        b"\x04\x03\xffne\x42\x01\x01",
        b"\x04\x03one\x02\x01!\x42\x01\x01",
        b"\x04\x03one",
        b"\x80\x80\x80\x80\x08\x03one\x42\x01\x01",
    ],
)
def test_a_table_that_isnt_exact_is_none(body: bytes) -> None:
    assert broken(body)


def test_an_even_number_is_in_no_table() -> None:
    assert "number 2 of" in broken(with_table(b"one", b"two", document=b"\x42\x02\x01"))


def nested(depth: int, inside: bytes = b"") -> bytes:
    return START * depth + inside + END * depth


def test_elements_can_be_so_deep_and_no_deeper() -> None:
    array = b"\x03" + START + END + b"\x8d\x01\x00\x00\x00\x00"
    assert read_binary(nested(MAX_DEPTH)).children
    assert read_binary(nested(MAX_DEPTH - 1, array)).children
    for body in (nested(MAX_DEPTH + 1), nested(MAX_DEPTH, START + b"\x83"), nested(MAX_DEPTH, array), START * 100_000):
        assert f"at most {MAX_DEPTH} elements inside each other" in broken(body)


def test_elements_can_be_so_many_and_no_more() -> None:
    def array(count: int) -> bytes:
        return b"\x03" + START + END + b"\xb5" + int31(count) + b"\x01" * count

    assert len(read_binary(START + array(MAX_ELEMENTS - 1) + END).children) == MAX_ELEMENTS - 1
    assert f"expected 1 to {MAX_ELEMENTS - 1} items" in broken(START + array(MAX_ELEMENTS) + END)
    assert "expected 1 to 0 items" in broken(START + array(MAX_ELEMENTS - 1) + array(1) + END)
    assert f"at most {MAX_ELEMENTS} elements" in broken(START + array(MAX_ELEMENTS - 1) + START + END + END)


EVERYTHING = (
    b"\x40\x04root\x08\x03urn\x09\x01i\x03urn\x2e\x04type\x98\x03a:b\x2e\x03nil\x86"
    + b"".join(b"\x5e\x01e" + record + END for record, _ in TEXTS)
    + b"".join(b"\x5e\x01e" + bytes([record[0] + 1]) + record[1:] for record, _ in TEXTS)
    + b"\x02\x02hi\x98\x01 \x41\x01p\x01e\xa4\x86\x82\xa7"
    + b"\x03\x5f\x01e\x01\x8d\x02\x01\x00\x00\x00\x02\x00\x00\x00"
    + END
)
WITH_TABLE = with_table(b"root", b"type", document=b"\x42\x01\x0b\x01i\x01\x14\x03\xbc\x01\x01\x44\x03\xab\x01" + END)


@pytest.mark.parametrize("document", [EVERYTHING, WITH_TABLE], ids=["plain", "table"])
def test_a_document_cut_anywhere_is_refused(document: bytes) -> None:
    assert read_binary(document).name == "root"
    for length in range(len(document)):
        assert broken(document[:length])


def read_or_refused(body: bytes) -> None:
    with suppress(ContextBroken):
        assert isinstance(read_binary(body), Element)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refused(content)
    read_or_refused(START + content)
    read_or_refused(START + content + END)


@given(
    st.sampled_from([EVERYTHING, WITH_TABLE]),
    st.lists(st.tuples(st.integers(0, len(EVERYTHING)), st.integers(0, 3), st.binary(max_size=3)), max_size=4),
)
def test_a_changed_document_is_read_or_refused(document: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, dropped, added in changes:
        document = document[:at] + added + document[at + dropped :]
    read_or_refused(document)
