"""Our reader against that of `wcf`, record by record: the same bytes, the same elements.

Left out is what theirs gets wrong: names of 128 bytes and more (it takes a length for one byte), attributes of an
array's element (dropped), a reference that isn't three bytes long in QNameDictionaryText, dictionaries other than the
static one, the durations of TimeSpanText (off by a thousand), a text in UTF-16 that begins with a byte order mark
(swallowed), the lexical form of decimals below one (their parts are compared instead), lists.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcf.records import attributes, elements, text  # type: ignore[import-untyped]
from wcf.records.base import ArrayRecord, CommentRecord, Record  # type: ignore[import-untyped]

from worker.core.dataverse.binary_reader import read_binary
from worker.core.dataverse.element import Element, Text

CONSTANTS: dict[type, Text] = {
    text.ZeroTextRecord: 0,
    text.OneTextRecord: 1,
    text.FalseTextRecord: False,
    text.TrueTextRecord: True,
    text.EmptyTextRecord: "",
}


def their_text(record: Any) -> Text:
    match record:
        case text.DatetimeTextRecord():
            return datetime.fromisoformat(str(record)).replace(tzinfo=UTC)
        case text.DecimalTextRecord():
            value = record.value
            digits = tuple(map(int, str(value.high << 64 | value.low)))
            return Decimal((1 if value.sign else 0, digits, -value.scale))
        case text.UniqueIdTextRecord():
            return str(record)
        case _ if type(record) in CONSTANTS:
            return CONSTANTS[type(record)]
        case _:
            native: Text = record.value
            return native


def their_element(record: Any, children: Iterable[Any]) -> Element:
    found: list[Element] = []
    texts: list[Text] = []
    for child in children:
        match child:
            case ArrayRecord():
                found.extend(their_element(child.element, [item]) for item in child.data)
            case elements.ShortElementRecord():
                found.append(their_element(child, child.childs))
            case CommentRecord():
                pass
            case _:
                texts.append(their_text(child))
    values = {attribute.name: their_text(attribute.value) for attribute in record.attributes if is_plain(attribute)}
    kind = values.get("type")
    content: Text | None = None
    if texts and not found:
        content = texts[0] if len(texts) == 1 else "".join(map(str, texts))  # then they are white space
    return Element(
        record.name, str(kind).rpartition(":")[2] if kind else None, values.get("nil") is True, content, found or ()
    )


def is_plain(attribute: Any) -> bool:
    return isinstance(attribute, attributes.ShortAttributeRecord | attributes.AttributeRecord)


def sized(first_type: int, encoding: str | None, content: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    def record(width: int, value: Any) -> bytes:
        encoded: bytes = value.encode(encoding) if encoding else value
        return bytes([first_type + 2 * width]) + pack("<" + "BHI"[width], len(encoded)) + encoded

    return st.builds(record, st.integers(0, 2), content)


def number(record: int, layout: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return numbers.map(lambda value: bytes([record]) + pack(layout, value))


def integer(record: int, layout: str, bits: int) -> st.SearchStrategy[bytes]:
    return number(record, layout, st.integers(-(1 << bits - 1), (1 << bits - 1) - 1))


CHARACTERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\ufffe"), max_size=40)
FLOATS = st.floats(allow_nan=False)
DECIMALS = st.builds(
    lambda scale, sign, high, low: b"\x94" + pack("<HBBIQ", 0, scale, sign << 7, high, low),
    st.integers(0, 28),
    st.integers(0, 1),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 64) - 1),
)
DATES = st.builds(
    lambda ticks, kind: b"\x96" + pack("<Q", kind << 62 | ticks),
    st.integers(0, 3_155_378_975_999_999_999),
    st.integers(0, 3),
)
TEXTS = [
    st.sampled_from([b"\x80", b"\x82", b"\x84", b"\x86", b"\xa8", b"\xb4\x00", b"\xb4\x01"]),
    integer(0x88, "<b", 8),
    integer(0x8A, "<h", 16),
    integer(0x8C, "<i", 32),
    integer(0x8E, "<q", 64),
    number(0xB2, "<Q", st.integers(0, (1 << 64) - 1)),
    number(0x90, "<f", st.floats(allow_nan=False, width=32)),
    number(0x92, "<d", FLOATS),
    DECIMALS,
    DATES,
    sized(0x98, "utf-8", CHARACTERS),
    sized(0x9E, None, st.binary(max_size=40)),
    sized(0xB6, "utf-16-le", CHARACTERS),
    st.builds(lambda record, value: bytes([record]) + value.bytes, st.sampled_from([0xAC, 0xB0]), st.uuids()),
]
ANY_TEXT = st.one_of(TEXTS)


def string(value: str) -> bytes:
    return bytes([len(value.encode())]) + value.encode()


STRINGS = CHARACTERS.map(lambda value: string(value[:30]))
NAMES = st.text("nü:x", min_size=1, max_size=9).map(string)


def starts(short: int, by_letter: int, names: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    prefixes = st.one_of(
        st.just(bytes([short])),
        st.just(bytes([short + 1]) + string("pre")),
        st.integers(by_letter, by_letter + 25).map(lambda record: bytes([record])),
    )
    return st.builds(bytes.__add__, prefixes, names)


ATTRIBUTES = st.one_of(
    STRINGS.map(lambda uri: b"\x08" + uri),
    STRINGS.map(lambda uri: b"\x09\x01p" + uri),
    st.builds(bytes.__add__, starts(0x04, 0x26, st.just(string("other"))), ANY_TEXT),
)
DECLARED = st.builds(
    lambda others, kind, is_nil: b"".join(others) + kind + is_nil,
    st.lists(ATTRIBUTES, max_size=2),
    st.just(b"") | starts(0x04, 0x26, st.just(string("type"))).map(lambda name: name + b"\x98\x05x:int"),
    st.just(b"") | starts(0x04, 0x26, st.just(string("nil"))).map(lambda name: name + b"\x86"),
)
STARTS = st.builds(bytes.__add__, starts(0x40, 0x5E, NAMES), DECLARED)
COMMENTS = STRINGS.map(lambda comment: b"\x02" + comment)
ARRAYS = st.builds(
    lambda start, items: b"\x03" + start + b"\x01\x8d" + bytes([len(items)]) + pack(f"<{len(items)}i", *items),
    starts(0x40, 0x5E, NAMES),
    st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1, max_size=5),
)
LEAVES = st.builds(
    lambda start, comment, record, ends: (
        start + comment + (bytes([record[0] + 1]) + record[1:] if ends else record + b"\x01")
    ),
    STARTS,
    st.just(b"") | COMMENTS,
    ANY_TEXT,
    st.booleans(),
)
DOCUMENTS = st.recursive(
    LEAVES | STARTS.map(lambda start: start + b"\x01"),
    lambda inner: st.builds(
        lambda start, children: start + b"".join(children) + b"\x01",
        STARTS,
        st.lists(inner | ARRAYS | COMMENTS | st.just(b"\x98\x01 "), max_size=5),
    ),
    max_leaves=10,
).filter(lambda body: body[0] not in {0x02, 0x03, 0x98})


pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")


def same_elements(body: bytes) -> None:
    (record,) = Record.parse(BytesIO(body))
    assert repr(read_binary(body)) == repr(their_element(record, record.childs))


@given(DOCUMENTS)
def test_both_readers_find_the_same_elements(body: bytes) -> None:
    same_elements(body)


@pytest.mark.parametrize("texts", TEXTS)
@given(st.data())
@settings(max_examples=15)
def test_both_readers_find_the_same_texts(texts: st.SearchStrategy[bytes], data: st.DataObject) -> None:
    leaves = [b"\x40\x01e" + record + b"\x01" for record in data.draw(st.lists(texts, min_size=3, max_size=9))]
    same_elements(b"\x40\x01r" + b"".join(leaves) + b"\x01")
