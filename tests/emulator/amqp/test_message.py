from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.message import (
    AMQP_VALUE,
    APPLICATION_PROPERTIES,
    DATA,
    MESSAGE_ANNOTATIONS,
    PROPERTIES,
    Header,
    Properties,
    encode_header,
    encode_properties,
    encode_section,
    read_data,
    read_sections,
    read_value,
    replace_section,
)
from worker.emulator.amqp.types import Symbol, ULong

BODY = encode_section(DATA, b"body")


def test_a_message_by_hand_falls_into_its_sections() -> None:
    header = bytes.fromhex("00 53 70 c0 06 03 41 50 07 52 64")
    delivery_annotations = bytes.fromhex("00 53 71 c1 01 00")
    annotations = bytes.fromhex("00 53 72 c1 08 02 a3 03") + b"x-a" + bytes.fromhex("54 01")
    bare = bytes.fromhex("00 53 73 c0 08 04 a1 02 69 64 40 40 40 00 53 75 a0 02 01 02")
    sections = read_sections(header + delivery_annotations + annotations + bare)
    assert sections.header == Header(durable=True, priority=7, ttl=100)
    assert sections.message_annotations == {"x-a": 1}
    assert sections.properties == Properties("id")
    assert sections.bare == bare


@pytest.mark.parametrize("message_id", [ULong(0), ULong(2**60), UUID(int=5), b"\x00\x01", "text"])
def test_a_message_id_keeps_its_type(message_id: object) -> None:
    sections = read_sections(encode_properties(Properties(message_id=message_id)))
    assert sections.properties.message_id == message_id
    assert type(sections.properties.message_id) is type(message_id)


def test_a_message_id_of_another_type_is_malformed() -> None:
    with pytest.raises(DecodeError, match="field 0 of Properties"):
        read_sections(bytes.fromhex("00 53 73 c0 02 01 41"))


def test_sections_may_be_named_in_full() -> None:
    named = b"\x00\xa3\x10amqp:data:binary\xa0\x02ab"
    assert read_data(named) == [b"ab"]


def test_a_body_is_never_looked_into() -> None:
    hollow = encode_section(AMQP_VALUE, None)[:-1] + bytes.fromhex("d0 00 00 00 04 ff ff ff ff")
    assert read_sections(hollow).bare == hollow


@pytest.mark.parametrize(
    "broken",
    ["00 53 75 a0 05 01", "00 53 70 c0 ff 03", "01", "00", "00 53 79 40", "00 53 70 a1 01 61"],
)
def test_a_broken_message_is_a_decode_error(broken: str) -> None:
    with pytest.raises(DecodeError):
        read_sections(bytes.fromhex(broken))


def test_a_section_is_replaced_where_it_stands() -> None:
    bare = encode_properties(Properties("a")) + encode_section(APPLICATION_PROPERTIES, {"k": 1}) + BODY
    changed = replace_section(bare, APPLICATION_PROPERTIES, encode_section(APPLICATION_PROPERTIES, {"k": 2}))
    assert read_value(changed, APPLICATION_PROPERTIES) == {"k": 2}
    assert read_sections(changed).properties == Properties("a")
    assert read_data(changed) == [b"body"]


def test_a_section_that_is_missing_is_put_where_it_belongs() -> None:
    properties = encode_properties(Properties("a"))
    assert replace_section(BODY, PROPERTIES, properties) == properties + BODY
    added = encode_section(APPLICATION_PROPERTIES, {"k": 2})
    assert replace_section(properties + BODY, APPLICATION_PROPERTIES, added) == properties + added + BODY
    assert replace_section(properties, APPLICATION_PROPERTIES, added) == properties + added


def test_several_data_sections_are_read_in_order() -> None:
    assert read_data(BODY + encode_section(DATA, b"more")) == [b"body", b"more"]
    with pytest.raises(DecodeError, match="holds binary"):
        read_data(encode_section(DATA, "text"))


@given(
    st.tuples(st.booleans(), st.integers(0, 255), st.none() | st.integers(0, 2**32 - 1)).map(lambda at: Header(*at)),
    st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)).map(lambda at: Properties(*at)),
)
def test_what_is_written_is_read(header: Header, properties: Properties) -> None:
    annotations = encode_section(MESSAGE_ANNOTATIONS, {Symbol("x"): "y"})
    sections = read_sections(encode_header(header) + annotations + encode_properties(properties) + BODY)
    assert sections.header == header
    assert sections.message_annotations == {"x": "y"}
    assert sections.properties == properties
    assert sections.bare.endswith(BODY)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_message_or_a_decode_error(noise: bytes) -> None:
    try:
        sections = read_sections(noise)
    except DecodeError:
        return
    assert noise.endswith(sections.bare)
