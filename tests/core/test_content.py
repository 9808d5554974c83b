import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.contexts import contexts

from worker.core.content import MOST_URL_CHARACTERS, Content, content_for
from worker.core.dataverse.context import Money, RemoteExecutionContext
from worker.core.dataverse.facts import CLAIMS
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import Sample, sample, sample_row
from worker.core.decode import decode
from worker.core.flow_spec import FlowSpec
from worker.core.json_schema import compile_schema
from worker.core.outcome import Reason, Rejected
from worker.core.request import Request

from .conftest import delivery_of

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
ROW = UUID(int=7)


def flow_of(**given: Any) -> FlowSpec:
    return FlowSpec(**{"name": "f", "url": "http://127.0.0.1/f", **given})


AS_IT_CAME, AS_CONTEXT, AS_TARGET = flow_of(), flow_of(body="context"), flow_of(body="target")


def request_of(body: bytes, content_type: str | None = None, **given: Any) -> Request:
    request = decode(delivery_of(body=body, content_type=content_type, **given))
    assert isinstance(request, Request)
    return request


def event_of(event: RemoteExecutionContext, form: Form = Form.JSON, **given: Any) -> Request:
    types = {Form.JSON: "application/json", Form.XML: "application/xml", Form.MSBIN1: "application/msbin1"}
    return request_of(write(event, form), types[form], **given)


def example(which: Sample) -> Request:
    return event_of(sample(which, at=AT, new_id=lambda: ROW))


def content(request: Request, flow: FlowSpec) -> Content:
    made = content_for(request, flow, first_enqueued_ms=AT_MS)
    assert isinstance(made, Content), made
    return made


def body(request: Request, flow: FlowSpec) -> Any:
    made = content(request, flow)
    assert made.body is not None
    assert made.content_type == "application/json"
    return json.loads(made.body, parse_float=Decimal)


def rendered(request: Request, **template: Any) -> Any:
    return body(request, flow_of(body_template=template))


def rejected(request: Request, flow: FlowSpec, reason: Reason = Reason.MALFORMED) -> str:
    outcome = content_for(request, flow, first_enqueued_ms=AT_MS)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason
    return outcome.detail


class TestMessage:
    @settings(deadline=None)
    @given(body=st.binary(), content_type=st.sampled_from(["text/plain", "text/xml; charset=utf-8", "image/png"]))
    def test_its_bytes_and_content_type_are_unchanged(self, body: bytes, content_type: str) -> None:
        made = content(request_of(body, content_type), AS_IT_CAME)
        assert made == Content(body=body, content_type=content_type)

    @pytest.mark.parametrize("body", [b"{}", b' {"a": [1, null, "\xc3\xa4"]}', b"17", b'"text"', b"null"])
    def test_without_a_content_type_what_parses_as_json_is_called_that(self, body: bytes) -> None:
        assert content(request_of(body), AS_IT_CAME) == Content(body=body, content_type="application/json")

    @pytest.mark.parametrize("body", [b"", b"hello", b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 5000])
    def test_without_a_content_type_anything_else_is_a_stream_of_octets(self, body: bytes) -> None:
        assert content(request_of(body), AS_IT_CAME) == Content(body=body, content_type="application/octet-stream")


class TestContext:
    @pytest.mark.parametrize("form", list(Form))
    def test_every_form_of_an_event_becomes_the_same_plain_json(self, form: Form) -> None:
        event = sample(Sample.UPDATE, at=AT, new_id=lambda: ROW)
        plain = body(event_of(event, form), AS_CONTEXT)
        assert plain == body(event_of(event), AS_CONTEXT)
        assert plain["messageName"] == "Update"

    @pytest.mark.parametrize("form", list(Form))
    def test_an_event_without_a_content_type_is_known_by_its_look(self, form: Form) -> None:
        event = sample(Sample.UPDATE, at=AT, new_id=lambda: ROW)
        assert body(request_of(write(event, form)), AS_CONTEXT) == body(event_of(event), AS_CONTEXT)

    @pytest.mark.parametrize("form", list(Form))
    def test_one_that_comes_as_something_else_is_not_taken_for_an_event_by_the_flow_alone(self, form: Form) -> None:
        """Routes and limits didn't see it as one."""
        sent = write(sample(Sample.UPDATE, at=AT, new_id=lambda: ROW), form)
        assert "and this is none: it came as 'text/plain'" in rejected(request_of(sent, "text/plain"), AS_CONTEXT)

    def test_json_that_is_cut_short_is_told_with_its_place(self) -> None:
        cut = write(sample(Sample.UPDATE, at=AT, new_id=lambda: ROW), Form.JSON)[:-1]
        assert f"and this is none: not JSON at byte {len(cut)}" in rejected(
            request_of(cut, "application/json"), AS_CONTEXT
        )

    @pytest.mark.parametrize("flow", [AS_CONTEXT, AS_TARGET])
    def test_a_body_that_is_no_event_is_rejected_and_told_why(self, flow: FlowSpec) -> None:
        assert "and this is none: expected a RemoteExecutionContext" in rejected(request_of(b"hello"), flow)

    @pytest.mark.parametrize("flow", [AS_CONTEXT, AS_TARGET, flow_of(body_template={}), flow_of(query=(("a", "b"),))])
    def test_an_event_that_cannot_be_read_is_rejected_with_the_place(self, flow: FlowSpec) -> None:
        text = b'{"MessageName": "Update", "Stage": 40, "InputParameters": [{"value": 1}]}'
        assert "InputParameters[0]" in rejected(request_of(text, "application/json"), flow)

    @pytest.mark.parametrize("flow", [AS_CONTEXT, AS_TARGET])
    def test_claims_without_a_context_are_told(self, flow: FlowSpec) -> None:
        claimed = request_of(b"hello", properties={f"{CLAIMS}RequestName": "Update"})
        assert "no RemoteExecutionContext in JSON, XML or .NET binary XML" in rejected(claimed, flow)


class TestTarget:
    def test_it_is_the_object_of_the_attributes_alone(self) -> None:
        event = sample_row("Create", "account", {"name": "Ann"}, at=AT, new_id=lambda: ROW)
        assert body(event_of(event), AS_TARGET) == {"name": "Ann"}

    @pytest.mark.parametrize(
        ("which", "named"),
        [
            (Sample.DELETE, "Delete of account"),
            (Sample.ASSOCIATE, "Associate of account"),
            (Sample.CUSTOM_API, "contoso_CheckCredit of no table"),
        ],
    )
    def test_an_event_without_one_is_rejected_and_told_what_to_do(self, which: Sample, named: str) -> None:
        told = rejected(example(which), AS_TARGET)
        assert named in told
        assert 'Route it to another flow, or set body = "context"' in told

    def test_one_that_dataverse_took_out_is_told_as_such(self) -> None:
        event = RemoteExecutionContext(message_name="Update", primary_entity_name="account", stage=40)
        stripped = event_of(event, properties={f"{CLAIMS}MessageMaxSizeExceeded": True})
        assert "above its size limit" in rejected(stripped, AS_TARGET)


class TestTemplate:
    def test_it_sees_the_members_of_the_event_and_the_target(self) -> None:
        made = rendered(
            example(Sample.UPDATE),
            what="${messageName} of ${primaryEntityName}",
            limit={"$eval": "target.creditlimit"},
            before={"$eval": "preEntityImages.PreImage.attributes.creditlimit"},
            stage={"$eval": "stage"},
        )
        assert made == {"what": "Update of account", "limit": 250000, "before": 100000, "stage": 40}

    def test_an_event_without_a_target_row_has_no_target(self) -> None:
        made = rendered(
            example(Sample.DELETE), has={"$eval": "defined('target')"}, row={"$eval": "inputParameters.Target.id"}
        )
        assert made == {"has": False, "row": str(ROW)}

    def test_another_body_is_seen_as_body(self) -> None:
        request = request_of(b'{"a": [1, 922337203685477.5807, 0.1]}', "text/plain")
        assert rendered(request, b={"$eval": "body.a"}) == {"b": [1, Decimal("922337203685477.5807"), Decimal("0.1")]}
        assert rendered(request_of(b"null"), b={"$eval": "typeof(body)"}) == {"b": "null"}

    @pytest.mark.parametrize("text", [b"hello", b"", b"[" * 500 + b"]" * 500, b"\xff", b"NaN"])
    def test_a_body_that_is_no_json_is_not_seen(self, text: bytes) -> None:
        assert rendered(request_of(text), has={"$eval": "defined('body')"}) == {"has": False}

    def test_it_sees_what_the_message_says_beside_its_body(self) -> None:
        request = request_of(
            b"x",
            "text/plain",
            message_id="m-7",
            correlation_id="c-7",
            subject="s",
            properties={"region": "emea", "n": 7, "yes": True, "raw": b"abc", "empty": "", "odd": b"\xff"},
        )
        assert rendered(request, all={"$eval": "request"})["all"] == {
            "id": "m-7",
            "correlationId": "c-7",
            "subject": "s",
            "contentType": "text/plain",
            "properties": {"region": "emea", "n": "7", "yes": "true", "raw": "abc"},
        }

    @pytest.mark.parametrize(
        "amount",
        ["922337203685477.5807", "100.5", "0.1", "100.0000", "1E+2", "123456789012345678901234567890", "-0.0001"],
    )
    def test_an_amount_keeps_every_digit(self, amount: str) -> None:
        row = {"amount": Money(value=Decimal(amount))}
        request = event_of(sample_row("Create", "account", row, at=AT, new_id=lambda: ROW))
        made = rendered(request, number={"$eval": "target.amount"}, text="${target.amount}")
        assert made["number"] == Decimal(made["text"]) == Decimal(amount)

    @pytest.mark.parametrize("form", list(Form))
    def test_a_whole_amount_is_an_integer_whichever_form_it_came_in(self, form: Form) -> None:
        event = sample_row("Create", "order", {"amount": Money(value=Decimal("250000.00"))}, at=AT, new_id=lambda: ROW)
        template = {"amount": {"$eval": "target.amount"}, "text": "${target.amount}"}
        made = content(event_of(event, form), flow_of(body_template=template))
        assert made.body == b'{"amount":250000,"text":"250000"}'

    def test_an_amount_that_a_float_holds_can_be_counted_with(self) -> None:
        row = {"amount": Money(value=Decimal("100.5"))}
        request = event_of(sample_row("Create", "account", row, at=AT, new_id=lambda: ROW))
        assert rendered(request, twice={"$eval": "target.amount * 2"}) == {"twice": 201}

    def test_now_is_when_the_request_was_first_enqueued(self) -> None:
        made = rendered(request_of(b""), now="${now}", later={"$fromNow": "1 day"}, also={"$eval": "fromNow('1 day')"})
        day_after = "2026-03-02T09:30:00.000Z"
        assert made == {"now": "2026-03-01T09:30:00.000Z", "later": day_after, "also": day_after}

    @pytest.mark.parametrize("claimed_ms", [-(10**30), -1, 0])
    def test_a_moment_that_no_calendar_holds_is_the_first_one(self, claimed_ms: int) -> None:
        made = content_for(request_of(b""), flow_of(body_template={"n": "${now}"}), first_enqueued_ms=claimed_ms)
        assert isinstance(made, Content)
        assert made.body == b'{"n":"1970-01-01T00:00:00.000Z"}'

    def test_what_does_not_fit_is_rejected_with_its_place_and_what_to_do(self) -> None:
        told = rejected(example(Sample.UPDATE), flow_of(body_template={"a": {"b": "${target.nmae}"}}))
        assert told.startswith('body_template.a.b: object has no property "nmae". Write target[')
        assert "route such requests elsewhere" in told

    def test_half_a_surrogate_pair_is_rejected(self) -> None:
        request = request_of(b'"\\ud800"')
        assert "surrogate" in rejected(request, flow_of(body_template={"a": "${body}"}))
        assert "surrogate" in rejected(request, flow_of(method="GET", query=(("a", "${body}"),)))

    @given(contexts())
    @settings(deadline=None)
    def test_whatever_an_event_holds_becomes_json(self, event: RemoteExecutionContext) -> None:
        template = {
            "event": {"$eval": "inputParameters"},
            "text": "${messageName}-${primaryEntityName}",
            "target": {"$if": "defined('target')", "then": {"$eval": "target"}},
            "images": {"$map": {"$eval": "preEntityImages"}, "each(image)": {"${image.key}": "${image.val.id}"}},
        }
        made = rendered(event_of(event), **template)
        assert made["text"] == f"{event.message_name}-{event.primary_entity_name or ''}"
        assert made["event"] == body(event_of(event), AS_CONTEXT)["inputParameters"]


class TestQuery:
    def test_its_parameters_are_texts_in_their_order(self) -> None:
        flow = flow_of(query=(("what", "${messageName}"), ("n", "17"), ("limit", "${target.creditlimit}")))
        assert content(example(Sample.UPDATE), flow).query == (("what", "Update"), ("n", "17"), ("limit", "250000"))

    def test_what_comes_to_nothing_is_left_out(self) -> None:
        flow = flow_of(query=(("a", "${body.none}"), ("b", "${body.empty}"), ("c", "x${body.none}")))
        assert content(request_of(b'{"none": null, "empty": ""}'), flow).query == (("c", "x"),)

    def test_what_does_not_fit_is_rejected_with_its_name(self) -> None:
        assert rejected(request_of(b"{}"), flow_of(query=(("a", "${body.b}"),))).startswith("query.a: object has no")

    def test_a_url_that_gets_too_long_is_rejected(self) -> None:
        flow = flow_of(query=(("a", "${body}"),))
        most = MOST_URL_CHARACTERS - len(f"{flow.url}?a=")
        assert content(request_of(json.dumps("x" * most).encode()), flow).query
        told = rejected(request_of(json.dumps("x" * (most + 1)).encode()), flow, Reason.TOO_LARGE)
        assert "8,001 characters" in told
        assert rejected(request_of(json.dumps("ü" * 1400).encode()), flow, Reason.TOO_LARGE)

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_a_method_without_a_body_sends_none(self, method: str) -> None:
        flow = flow_of(method=method, query=(("a", "${target.statuscode.label}"),))
        assert content(example(Sample.UPDATE), flow) == Content(body=None, content_type=None, query=(("a", "Active"),))
        assert content(request_of(b"hello", "text/plain"), flow_of(method=method)).body is None


class TestRequestSchema:
    SCHEMA = compile_schema(b'{"properties": {"a": {"properties": {"b": {"type": "integer"}}}}}')

    def test_a_body_that_fits_is_sent(self) -> None:
        assert content(request_of(b'{"a": {"b": 1}}'), flow_of(request_schema=self.SCHEMA)).body == b'{"a": {"b": 1}}'

    def test_one_that_breaks_it_is_rejected_with_the_place(self) -> None:
        told = rejected(request_of(b'{"a": {"b": "x"}}'), flow_of(request_schema=self.SCHEMA))
        assert told.startswith("the body for flow f breaks its schema at /a/b: ")
        assert "not JSON" in rejected(request_of(b"hello"), flow_of(request_schema=self.SCHEMA))

    def test_it_is_held_against_what_is_sent_not_what_came(self) -> None:
        flow = flow_of(request_schema=self.SCHEMA, body_template={"a": {"b": "${body}"}})
        assert "/a/b" in rejected(request_of(b"1"), flow)

    def test_it_says_nothing_where_no_body_is_sent(self) -> None:
        assert content(request_of(b"hello"), flow_of(method="GET", request_schema=self.SCHEMA)).body is None
