from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.contexts import contexts

from worker.core.dataverse.context import (
    Condition,
    Entity,
    Filter,
    OptionSetValue,
    QueryExpression,
    RemoteExecutionContext,
    Value,
)
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.forms import MAX_BODY_BYTES, Form, form_of, read, write
from worker.core.dataverse.sample import Sample, sample

AT = datetime(2026, 3, 1, 9, 30, 0, 250_000, tzinfo=UTC)
FORMS = list(Form)


@given(contexts())
@settings(deadline=None, max_examples=60)
def test_the_three_forms_of_one_event_give_equal_values(context: RemoteExecutionContext) -> None:
    for form in FORMS:
        assert read(write(context, form)) == context, form


@given(contexts())
@settings(deadline=None, max_examples=20)
def test_what_was_read_in_one_form_is_written_in_the_others(context: RemoteExecutionContext) -> None:
    body = write(context, Form.JSON)
    for form in (Form.MSBIN1, Form.XML, Form.JSON):
        body = write(read(body), form)
    assert body == write(context, Form.JSON)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", list(Sample))
def test_every_sample_has_its_form_and_reads_back(which: Sample, form: Form) -> None:
    event = sample(which, at=AT, new_id=uuid4)
    body = write(event, form)
    assert form_of(body) is form
    assert read(body) == event


@pytest.mark.parametrize(
    "body",
    [
        b"<!-- RemoteExecutionContext --><order/>",
        b"<log>call of RemoteExecutionContext failed</log>",
        b"<RemoteExecutionContextLog/>",
        b"<!DOCTYPE a><RemoteExecutionContext/>",
        b"<!-- never ends RemoteExecutionContext",
        b'"RemoteExecutionContext"',
        b'[{"t":"RemoteExecutionContext"}]',
        b"",
        b"hello",
        b"<a/>",
        b"\x00\x01",
        b"@\x01a\x01",
        b"@\x06string\x083",
        b"\xff\xfe<\x00a\x00/\x00>\x00",
    ],
)
def test_other_bodies_have_no_form(body: bytes) -> None:
    assert form_of(body) is None
    with pytest.raises(ContextBroken, match="found something else"):
        read(body)


def test_a_legacy_wrapper_around_xml_is_peeled_off() -> None:
    event = sample(Sample.DELETE, at=AT, new_id=uuid4)
    text = write(event, Form.XML)
    wrapper = b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/"
    body = wrapper + b"\x9b" + len(text).to_bytes(2, "little") + text
    assert form_of(body) is Form.XML
    assert read(body) == event


def test_xml_in_utf_16_is_read_as_well() -> None:
    event = sample(Sample.CUSTOM_API, at=AT, new_id=uuid4)
    assert read(write(event, Form.XML).decode().encode("utf-16")) == event


def test_numbers_and_names_of_enumerations_that_nobody_knows_are_kept() -> None:
    row = Entity(logical_name="account", entity_state=7)
    query = QueryExpression(criteria=Filter(operator="Newer", conditions=(Condition(operator=200),)))
    context = RemoteExecutionContext(message_name="Update", input_parameters={"Target": row, "Query": query})
    for form in FORMS:
        assert read(write(context, form)) == context


def test_a_table_of_strings_is_no_way_to_blow_a_small_body_up() -> None:
    root, table = b"RemoteExecutionContext", [b"RemoteExecutionContext", b"x" * 20_000]
    strings = b"".join(length(each) + each for each in table)
    pair = b"\x40\x1bKeyValuePairOfstringanyType\x40\x03key\x99\x01a\x40\x05value\xab\x03\x01"
    body = length(strings) + strings + b"\x42\x01\x40\x0fInputParameters" + pair * 500 + b"\x01\x01"
    assert form_of(body) is Form.MSBIN1
    with pytest.raises(ContextBroken, match="expected fewer references to long strings"):
        read(body)
    assert root in body


def length(text: bytes) -> bytes:
    """As MC-NBFX writes it: seven bits a byte."""
    parts, left = [], len(text)
    while left >= 0x80:
        parts.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*parts, left])


@pytest.mark.parametrize("form", [Form.JSON, Form.XML])
def test_what_is_wrong_is_told_in_few_words_whatever_senders_call_it(form: Form) -> None:
    name = "k" * 100_000
    bodies = {
        Form.JSON: f'{{"MessageName": "x", "Stage": 1, "{name}": {"[" * 80}{"]" * 80}}}',
        Form.XML: f"<RemoteExecutionContext><{name}><Depth/></{name}><Depth>x</Depth></RemoteExecutionContext>",
    }
    with pytest.raises(ContextBroken) as broken:
        read(bodies[form].encode())
    assert len(str(broken.value)) < 400


def test_a_text_that_looks_like_a_date_is_one_in_json_alone() -> None:
    context = RemoteExecutionContext(message_name="x", shared_variables={"a": "/Date(0)/"})
    assert read(write(context, Form.XML)) == read(write(context, Form.MSBIN1)) == context
    assert isinstance(read(write(context, Form.JSON)).shared_variables["a"], datetime)


def test_a_body_that_would_hold_up_the_worker_is_not_read() -> None:
    with pytest.raises(ContextBroken, match="at most 1,048,576 bytes"):
        read(b'{"MessageName": "' + b"x" * MAX_BODY_BYTES + b'"}')


@pytest.mark.parametrize("form", FORMS)
def test_values_that_only_json_could_blur_stay_exact(form: Form) -> None:
    values: dict[str, Value] = {"big": 2**70, "exact": Decimal("0.1000"), "money": Decimal("922337203685477.5807")}
    row = Entity(logical_name="account", attributes={**values, "one": OptionSetValue(value=1)})
    context = RemoteExecutionContext(message_name="Update", input_parameters={"Target": row})
    assert read(write(context, form)) == context


@pytest.mark.parametrize("text", ["a\x00b", "\x1f", "\ufffe", "\ud800"])
def test_a_text_that_xml_cannot_carry_is_refused_with_its_place(text: str) -> None:
    context = RemoteExecutionContext(message_name=text)
    with pytest.raises(ContextBroken, match=r"MessageName: XML can't carry the character U\+"):
        write(context, Form.XML)


@pytest.mark.parametrize("form", FORMS)
def test_half_a_surrogate_pair_is_refused_in_every_form(form: Form) -> None:
    with pytest.raises(ContextBroken):
        write(RemoteExecutionContext(message_name="\udc00"), form)


@pytest.mark.parametrize("name", ["a b", "", "1x", "a:b", "<"])
@pytest.mark.parametrize("form", [Form.XML, Form.MSBIN1])
def test_an_unknown_member_that_xml_has_no_name_for_is_refused(name: str, form: Form) -> None:
    with pytest.raises(ContextBroken, match="XML can't name"):
        write(RemoteExecutionContext(message_name="Update", others={name: 1}), form)


BODIES = [write(sample(which, at=AT, new_id=uuid4), form) for which in Sample for form in FORMS]


def attempt(body: bytes) -> str:
    """The message of a context, or why it is none."""
    try:
        return read(body).message_name
    except ContextBroken as broken:
        return str(broken)


@given(st.sampled_from(BODIES), st.data())
@settings(deadline=None, max_examples=300)
def test_a_damaged_context_is_read_or_clearly_refused(body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(damaged) - 1, 0)))
        match data.draw(st.sampled_from(["cut", "flip", "insert", "repeat"])):
            case "cut":
                del damaged[at : at + data.draw(st.integers(1, 40))]
            case "flip":
                damaged[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "insert":
                damaged[at:at] = data.draw(st.binary(max_size=4))
            case _:
                damaged[at:at] = damaged[at : at + 60]
    told = attempt(bytes(damaged))
    assert told
