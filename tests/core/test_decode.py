import json
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.facts import EventFacts
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.outcome import Reason, Rejected
from worker.core.request import Request

Deliver: TypeAlias = Callable[..., Delivery]

CLAIMS = "http://schemas.microsoft.com/xrm/2011/Claims/"
CLAIMED = {
    f"{CLAIMS}RequestName": "Delete",
    f"{CLAIMS}EntityLogicalName": "contact",
    f"{CLAIMS}Organization": "contoso.crm4.dynamics.com",
    f"{CLAIMS}User": None,
}
CONTEXT = {
    "MessageName": "Update",
    "PrimaryEntityName": "account",
    "Stage": 40,
    "Mode": 0,
    "Depth": 1,
    "OrganizationName": "org1",
    "UserId": "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10",
    "InputParameters": [],
}
FACTS = EventFacts(
    message="Update", table="account", stage=40, mode=0, depth=1, organization="org1", user=str(CONTEXT["UserId"])
)


def understood(delivery: Delivery) -> Request:
    request = decode(delivery)
    assert isinstance(request, Request), request
    return request


def facts(request: Request) -> EventFacts:
    assert request.event is not None
    return request.event.facts


def malformed(delivery: Delivery) -> str:
    outcome = decode(delivery)
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason is Reason.MALFORMED
    return outcome.detail


class TestIds:
    def test_the_message_id_is_the_request_id_and_its_own_idempotency_key(self, deliver: Deliver) -> None:
        request = understood(deliver(message_id="m-1"))
        assert (request.request_id, request.idempotency_key) == ("m-1", "m-1")

    def test_a_copy_keeps_the_first_id(self, deliver: Deliver) -> None:
        request = understood(deliver(message_id="copy", properties={"request-id": "m-1", "delivery-attempt": 2}))
        assert (request.request_id, request.idempotency_key, request.delivery_attempt) == ("m-1", "m-1", 2)

    def test_a_repeat_brings_its_own_idempotency_key(self, deliver: Deliver) -> None:
        request = understood(deliver(message_id="m-2", properties={"idempotency-key": "order-9"}))
        assert (request.request_id, request.idempotency_key) == ("m-2", "order-9")

    @pytest.mark.parametrize("value", [UUID(int=5), str(UUID(int=5)), str(UUID(int=5)).encode()])
    def test_a_key_may_be_of_any_readable_type(self, deliver: Deliver, value: Any) -> None:
        assert understood(deliver(properties={"idempotency-key": value})).idempotency_key == str(UUID(int=5))

    @pytest.mark.parametrize("value", ["", None, b"\xff"])
    def test_an_unreadable_key_counts_as_absent(self, deliver: Deliver, value: Any) -> None:
        assert understood(deliver(properties={"idempotency-key": value})).idempotency_key == "m-1"

    def test_a_message_without_any_id_gets_the_same_one_at_every_delivery(self, deliver: Deliver) -> None:
        first = understood(deliver(message_id=None))
        again = understood(deliver(message_id=None, delivery_count=3, lock_token="other"))
        assert first.request_id == again.request_id
        assert understood(deliver(message_id=None, sequence_number=18)).request_id != first.request_id


class TestProperties:
    @pytest.mark.parametrize("name", ["timeout-s", "reply-ttl-s"])
    @pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), (0.25, 0.25), ("7", 7.0), ("1.5", 1.5), (".5", 0.5)])
    def test_seconds_are_a_positive_number_or_its_decimal_string(
        self, deliver: Deliver, name: str, value: Any, seconds: float
    ) -> None:
        request = understood(deliver(properties={name: value}))
        assert {"timeout-s": request.timeout_s, "reply-ttl-s": request.reply_ttl_s}[name] == seconds

    @pytest.mark.parametrize("name", ["timeout-s", "reply-ttl-s"])
    @pytest.mark.parametrize(
        "value",
        [
            *(0, -1, 0.0, float("nan"), float("inf"), 10**400, True, False, None, b"5"),
            *("0", "-1", "", "abc", "1e3", "1_0", " 1", "\u0663", "nan", "inf", "9" * 400),
        ],
    )
    def test_anything_else_is_malformed(self, deliver: Deliver, name: str, value: Any) -> None:
        assert malformed(deliver(properties={name: value})).startswith(f"{name}: expected a positive number")

    @pytest.mark.parametrize("value", [-1, True, "x", 1.5, "1.5"])
    def test_a_delivery_attempt_that_counts_nothing_is_malformed(self, deliver: Deliver, value: Any) -> None:
        assert "delivery-attempt" in malformed(deliver(properties={"delivery-attempt": value}))

    def test_a_body_of_another_amqp_type_is_malformed(self, deliver: Deliver) -> None:
        assert "AMQP" in malformed(deliver(body=None))

    def test_the_trace_context_passes_where_it_fits_a_header(self, deliver: Deliver) -> None:
        sent = {"traceparent": "00-ab-cd-01", "tracestate": "a=ü", "Diagnostic-Id": "x\r\nEvil: 1", "other": "y"}
        assert understood(deliver(properties=sent)).trace == {"traceparent": "00-ab-cd-01"}

    def test_an_older_senders_diagnostic_id_stands_in_for_a_missing_trace_parent(self, deliver: Deliver) -> None:
        parent, other = "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-ab-cd-01"
        assert understood(deliver(properties={"Diagnostic-Id": parent})).trace == {"traceparent": parent}
        assert understood(deliver(properties={"Diagnostic-Id": "|4.1f."})).trace == {}
        both = {"Diagnostic-Id": parent, "traceparent": other}
        assert understood(deliver(properties=both)).trace == {"traceparent": other}

    def test_a_flow_is_named_by_its_property(self, deliver: Deliver) -> None:
        assert understood(deliver(properties={"flow": "credit-check"})).flow_name == "credit-check"
        assert understood(deliver(properties={"flow": ""})).flow_name is None


class TestDataverse:
    def test_a_json_context_is_recognised_by_its_content_type(self, deliver: Deliver) -> None:
        body = json.dumps(CONTEXT).encode()
        request = understood(deliver(body=body, content_type="Application/JSON; charset=utf-8"))
        assert facts(request) == FACTS
        assert request.body == body

    def test_a_json_context_is_recognised_by_its_claims(self, deliver: Deliver) -> None:
        request = understood(deliver(body=b"\xef\xbb\xbf" + json.dumps(CONTEXT).encode(), properties=CLAIMED))
        assert facts(request) == FACTS  # the body's own word before the claims

    def test_the_claims_say_what_the_body_leaves_open(self, deliver: Deliver) -> None:
        body = json.dumps({"MessageName": "Delete", "PrimaryEntityName": "none", "Stage": 20}).encode()
        event = facts(understood(deliver(body=body, content_type="application/json", properties=CLAIMED)))
        assert (event.message, event.table, event.stage) == ("Delete", "contact", 20)

    @pytest.mark.parametrize("content_type", ["application/xml", "application/msbin1"])
    def test_xml_and_binary_that_claim_to_be_a_context_must_be_one(self, deliver: Deliver, content_type: str) -> None:
        assert understood(deliver(body=b"<a/>", content_type=content_type)).event is None
        detail = malformed(deliver(body=b"<a/>", content_type=content_type, properties=CLAIMED))
        assert "the Dataverse context can't be read: expected" in detail

    def test_claims_beside_an_unknown_body_are_enough(self, deliver: Deliver) -> None:
        assert facts(understood(deliver(body=b"\x01\x02", properties=CLAIMED))).message == "Delete"

    @pytest.mark.parametrize(
        "body",
        [
            *(b"[1, 2]", b'{"order": 7}', b"{broken", b"\xff", b"", b"null", b'{"MessageName": 5}'),
            *(b'{"MessageName": "x"}', b'{"MessageName": "x", "Stage": "soon"}', b'{"MessageName": "x", "Stage": 40'),
        ],
    )
    def test_a_json_body_that_claims_nothing_is_any_body(self, deliver: Deliver, body: bytes) -> None:
        request = understood(deliver(body=body, content_type="application/json"))
        assert request.event is None
        assert request.body == body

    @pytest.mark.parametrize(
        ("body", "what"),
        [
            (b'{"MessageName": "\xc3\xa9", }', "not JSON at byte 20"),
            (b"\xef\xbb\xbf{", "not JSON at byte 4"),
            (b'{"a": "\xff"}', "expected UTF-8, found byte 0xff at byte 7"),
            (b"[]", "expected a JSON object, found a list"),
            (b"{}", "expected a RemoteExecutionContext"),
            (b'{"MessageName": "x", "Stage": "40"}', "Stage: expected an integer, found a string"),
            (b'{"MessageName": "x", "Stage": true}', "Stage: expected an integer, found true or false"),
            (b'{"MessageName": "x", "Stage": 1.5}', "Stage: expected an integer, found a number"),
            (b'{"MessageName": "x", "UserId": 1}', "expected a RemoteExecutionContext"),
            (b'{"MessageName": "x", "Stage": 1, "UserId": {}}', "UserId: expected a string, found an object"),
        ],
    )
    def test_a_body_that_claims_to_be_a_context_must_be_one(self, deliver: Deliver, body: bytes, what: str) -> None:
        detail = malformed(deliver(body=body, content_type="application/json", properties=CLAIMED))
        assert what in detail

    def test_a_context_nested_beyond_all_measure_is_malformed(self, deliver: Deliver) -> None:
        body = b'{"MessageName": "x", "Stage": ' + b"[" * 50_000
        assert "not JSON" in malformed(deliver(body=body, content_type="application/json", properties=CLAIMED))

    @pytest.mark.parametrize("name", ["MessageMaxSizeExceeded", f"{CLAIMS}messagemaxsizeexceeded"])
    def test_a_context_stripped_for_size_is_marked(self, deliver: Deliver, name: str) -> None:
        assert understood(deliver(properties={name: True})).is_truncated
        assert not understood(deliver()).is_truncated


@given(
    body=st.binary(max_size=60),
    content_type=st.none() | st.sampled_from(["application/json", "application/xml", "text/plain"]),
    properties=st.dictionaries(
        st.sampled_from(["flow", "timeout-s", "request-id", "traceparent", f"{CLAIMS}User", "delivery-attempt"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.uuids(),
    ),
)
def test_every_delivery_is_understood_or_refused(body: bytes, content_type: str | None, properties: Any) -> None:
    blank = dict.fromkeys(
        ["correlation_id", "session_id", "reply_to", "reply_to_session_id", "subject", "to", "partition_key"]
    )
    delivery = Delivery(
        lock_token="lock",
        sequence_number=1,
        delivery_count=0,
        enqueued_at=0.0,
        enqueued_time_ms=0,
        locked_until=60.0,
        message_id="m-1",
        time_to_live_s=None,
        content_type=content_type,
        body=body,
        properties=properties,
        **blank,
    )
    outcome = decode(delivery)
    assert outcome.body == body if isinstance(outcome, Request) else outcome.detail
