import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.document import document_text

WRAPPER = b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/"


def wrapped(text: bytes, *, with_end: bool = True) -> bytes:
    end = 1 if with_end else 0
    tail = b"" if with_end else b"\x01"
    for width, record in ((1, 0x98), (2, 0x9A), (4, 0x9C)):
        if len(text) < 256**width:
            return WRAPPER + bytes([record + end]) + len(text).to_bytes(width, "little") + text + tail
    raise AssertionError


@given(st.binary(max_size=70_000).filter(lambda text: not text.startswith(b"\xef\xbb\xbf")), st.booleans())
def test_a_wrapped_text_is_found_whatever_its_length_bytes_look_like(text: bytes, with_end: bool) -> None:
    body = wrapped(text, with_end=with_end)
    found, start = document_text(body)
    assert found == text
    assert body[start : start + len(text)] == text


@pytest.mark.parametrize("length", [0x7B, 0x3C, 0x3C7B, 0x7B3C])
def test_a_length_byte_that_is_a_bracket_is_not_taken_for_the_text(length: int) -> None:
    text = b"{" + b" " * (length - 2) + b"}"
    assert document_text(wrapped(text))[0] == text


def test_a_repaired_wrapper_is_cut_at_the_first_bracket() -> None:
    body = b'@?string?3http://schemas.microsoft.com/2003/10/Serialization/???{"a":1}'
    assert document_text(body) == (b'{"a":1}', body.index(b"{"))


def test_a_byte_order_mark_is_passed_over() -> None:
    assert document_text(b"\xef\xbb\xbf{}") == (b"{}", 3)


@pytest.mark.parametrize("body", [b"", b"@", b"@home", b"{}", b"<a/>", WRAPPER, WRAPPER + b"\x99\xff{}"])
def test_other_bytes_are_left_as_they_are_or_cut_within(body: bytes) -> None:
    text, start = document_text(body)
    assert body[start:].startswith(text)
