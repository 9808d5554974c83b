from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.binary_reader import read_binary
from worker.core.dataverse.binary_writer import write_binary
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import Element, Text, lexical

NAMESPACES = {"": "urn:r", "i": "urn:i", "a": "urn:a", "long": "urn:l"}
GUID = UUID("33221100-5544-7766-8899-aabbccddeeff")


def written(root: Element) -> bytes:
    return write_binary(root, {})


def test_the_root_declares_the_namespaces() -> None:
    body = write_binary(Element("r", children=[Element("a:c")]), {"": "urn", "i": "x", "long": "u" * 200})
    declared = b"\x08\x03urn" + b"\x09\x01i\x01x" + b"\x09\x04long\xc8\x01" + b"u" * 200
    assert body == b"\x40\x01r" + declared + b"\x5e\x01c\x01\x01"


def test_type_and_nil_are_attributes_of_the_prefix_i() -> None:
    assert (
        written(Element("r", type="x:string", is_nil=True))
        == b"\x40\x01r\x2e\x04type\x98\x08x:string\x2e\x03nil\x86\x01"
    )


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("n", b"\x40\x01n"),
        ("a:n", b"\x5e\x01n"),
        ("z:n", b"\x77\x01n"),
        ("ab:n", b"\x41\x02ab\x01n"),
        ("A:n", b"\x41\x01A\x01n"),
    ],
)
def test_a_name_takes_the_shortest_record_for_its_prefix(name: str, start: bytes) -> None:
    assert written(Element(name)) == start + b"\x01"


@pytest.mark.parametrize(
    ("text", "record"),
    [
        (None, b"\x01"),
        ("", b"\xa9"),
        ("0", b"\x81"),
        ("1", b"\x83"),
        ("2", b"\x99\x012"),
        (False, b"\x85"),
        (True, b"\x87"),
        (0, b"\x81"),
        (1, b"\x83"),
        (-1, b"\x89\xff"),
        (127, b"\x89\x7f"),
        (128, b"\x8b\x80\x00"),
        (-32768, b"\x8b\x00\x80"),
        (32768, b"\x8d\x00\x80\x00\x00"),
        (-(1 << 31), b"\x8d\x00\x00\x00\x80"),
        (1 << 31, b"\x8f\x00\x00\x00\x80\x00\x00\x00\x00"),
        (-(1 << 63), b"\x8f\x00\x00\x00\x00\x00\x00\x00\x80"),
        ((1 << 64) - 1, b"\xb3" + b"\xff" * 8),
        (1 << 64, b"\x99\x1418446744073709551616"),
        (-(1 << 63) - 1, b"\x99\x14-9223372036854775809"),
        (1.5, b"\x93\x00\x00\x00\x00\x00\x00\xf8\x3f"),
        (float("inf"), b"\x93\x00\x00\x00\x00\x00\x00\xf0\x7f"),
        (Decimal("5.123456"), b"\x95\x00\x00\x06\x00\x00\x00\x00\x00\x80\x2d\x4e\x00\x00\x00\x00\x00"),
        (Decimal("-1.00"), b"\x95\x00\x00\x02\x80\x00\x00\x00\x00\x64" + b"\x00" * 7),
        (Decimal((1 << 96) - 1), b"\x95\x00\x00\x00\x00" + b"\xff" * 12),
        (Decimal("1E+2"), b"\x95\x00\x00\x00\x00\x00\x00\x00\x00\x64" + b"\x00" * 7),
        (Decimal(1 << 96), b"\x99\x1d79228162514264337593543950336"),
        (Decimal("1E-29"), b"\x99\x1f0.00000000000000000000000000001"),
        (Decimal("NaN"), b"\x99\x03NaN"),
        (datetime(2006, 5, 17, tzinfo=UTC), b"\x97\x00\x40\x8e\xf9\x5b\x47\xc8\x48"),
        (b"\x00\xff", b"\x9f\x02\x00\xff"),
        (b"\x07" * 256, b"\xa1\x00\x01" + b"\x07" * 256),
        (b"\x07" * 65536, b"\xa3\x00\x00\x01\x00" + b"\x07" * 65536),
        ("ü", b"\x99\x02\xc3\xbc"),
        ("x" * 255, b"\x99\xff" + b"x" * 255),
        ("ü" * 128, b"\x9b\x00\x01" + b"\xc3\xbc" * 128),
        ("x" * 65536, b"\x9d\x00\x00\x01\x00" + b"x" * 65536),
        (GUID, b"\xb1" + bytes.fromhex("00112233445566778899aabbccddeeff")),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_a_text_takes_the_shortest_record_that_ends_its_element(text: Any, record: bytes) -> None:
    assert written(Element("r", text=text)) == b"\x40\x01r" + record


def test_one_half_of_a_surrogate_pair_is_refused() -> None:
    for root in (Element("r", text="\ud800"), Element("\udc00"), Element("r", type="\ud800")):
        with pytest.raises(ContextBroken, match="one half of a surrogate pair"):
            written(root)


CHARACTERS = st.characters(exclude_categories=["Cs"])
LOCAL_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), min_size=1, max_size=200)
NAMES = st.tuples(st.sampled_from(["", "a:", "long:"]), LOCAL_NAMES).map("".join)
ANY_TEXTS: st.SearchStrategy[Text | None] = st.one_of(
    st.none(),
    st.sampled_from(["", "0", "1", " "]),
    st.text(CHARACTERS, max_size=300),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.decimals(-(10**28), 10**28, allow_nan=False),
    st.datetimes(timezones=st.just(UTC)),
    st.binary(max_size=300),
    st.uuids(),
)
LEAVES = st.builds(Element, NAMES, st.none() | NAMES, st.booleans(), ANY_TEXTS)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Element, NAMES, st.none() | NAMES, st.booleans(), st.none(), st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


def as_read(element: Element) -> Element:
    """Without prefixes; a text as the record says it, which is its lexical form where no record is wide enough."""
    text = element.text
    match text:
        case str() if text in {"0", "1"}:
            text = int(text)
        case UUID():
            text = str(text)
        case int() if not -(1 << 63) <= text < 1 << 64:
            text = str(text)
        case Decimal():
            _, digits, exponent = text.as_tuple()
            assert isinstance(exponent, int)
            shifted = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
            if shifted >= 1 << 96 or exponent < -28:
                text = lexical(text)
        case _:
            pass
    return Element(
        element.name.rpartition(":")[2],
        element.type and element.type.rpartition(":")[2],
        element.is_nil,
        text,
        [as_read(child) for child in element.children] or (),
    )


@given(TREES)
def test_what_is_written_is_read_again(tree: Element) -> None:
    again = read_binary(write_binary(tree, NAMESPACES))
    assert again == as_read(tree)
    assert type(again.text) is type(as_read(tree).text)


@given(TREES, st.data())
def test_what_is_cut_is_refused(tree: Element, data: st.DataObject) -> None:
    body = write_binary(tree, NAMESPACES)
    length = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ContextBroken):
        read_binary(body[:length])


def test_elements_however_deep_are_written() -> None:
    root = Element("r")
    for _ in range(10_000):
        root = Element("r", children=[root])
    assert written(root) == b"\x40\x01r" * 10_001 + b"\x01" * 10_001
