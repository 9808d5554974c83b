"""Spans as they are made of a record, before any SDK has them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from worker.bridge.observed import Observed
from worker.core.attempt import Attempt
from worker.core.outcome import Outcome
from worker.core.settlement import Settled
from worker.core.trace import TraceContext
from worker.tracing.spans import Spans
from worker.tracing.spec import TraceSpec

from .records import ANSWERED, BEGINNING, CONTEXT, EPOCH_NS, QUEUE, SENDER, TIMES


def spans_of(observed: Observed, context: TraceContext = CONTEXT, spec: TraceSpec = QUEUE) -> dict[str, ReadableSpan]:
    spans = list(Spans(spec, Resource({}), scope="flowbridge").of(observed, context, EPOCH_NS))
    assert len({span.context.span_id for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def said_by(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


def times_of(span: ReadableSpan) -> tuple[float, float]:
    """On the loop's clock."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - EPOCH_NS) / 1e9, (span.end_time - EPOCH_NS) / 1e9


def below(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def test_each_part_of_the_work_is_where_it_belongs_and_lasts_as_long_as_it_took() -> None:
    spans = spans_of(ANSWERED)
    assert {name: (below(span), times_of(span)) for name, span in spans.items()} == {
        "receive flow-requests": (SENDER.span_id, (100.0, 101.0)),  # not from when there was nothing to receive
        "process flow-requests": (SENDER.span_id, (101.0, 107.0)),
        "POST": (CONTEXT.span_id, (102.0, 103.0)),
        "send flow-replies": (CONTEXT.span_id, (104.0, 105.0)),
        "complete flow-requests": (CONTEXT.span_id, (106.0, 107.0)),
    }
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {SENDER.trace_id}
    assert {span.context.trace_state.to_header() for span in spans.values()} == {"vendor=opaque"}
    linked = {name: [f"{link.context.span_id:016x}" for link in span.links] for name, span in spans.items()}
    assert linked["process flow-requests"] == linked["receive flow-requests"] == [SENDER.span_id]
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.values())


def test_without_a_parent_the_work_is_the_root_of_all() -> None:
    spans = spans_of(ANSWERED, BEGINNING)
    whole = spans.pop("process flow-requests")
    assert whole.parent is None
    assert not whole.links
    assert {below(span) for span in spans.values()} == {BEGINNING.span_id}


def test_the_bus_is_described_as_the_conventions_have_it() -> None:
    process = said_by(spans_of(replace(ANSWERED, delivery_count=2))["process flow-requests"])
    assert process == {
        "messaging.system": "servicebus",
        "messaging.destination.name": "flow-requests",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.message.id": "r-1",
        "messaging.message.conversation_id": "c-1",
        "messaging.servicebus.message.delivery_count": 2,
        "messaging.servicebus.message.enqueued_time": 1_700_000_100,
        "server.address": "contoso.servicebus.windows.net",
        "flowbridge.flow": "checks",
        "flowbridge.outcome": "answered",
        "flowbridge.run_id": "run-1",
        "flowbridge.attempts": 1,
    }


def test_a_subscription_is_told_beside_its_topic() -> None:
    spec = replace(QUEUE, requests_from="flow-events", subscription="bridge", bus_port=5671)
    process = said_by(spans_of(ANSWERED, spec=spec)["process flow-events"])
    assert process["messaging.destination.subscription.name"] == "bridge"
    assert process["server.port"] == 5671


def test_of_a_flows_address_only_what_holds_no_key_is_told() -> None:
    attempt = said_by(spans_of(ANSWERED)["POST"])
    assert attempt == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "prod-1.westus.logic.azure.com",
        "server.port": 443,
        "url.full": "https://prod-1.westus.logic.azure.com/workflows/1/invoke",
        "flowbridge.flow": "checks",
    }


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (Attempt(began_at=102.0, ended_at=103.0, status=202), None),
        (Attempt(began_at=102.0, ended_at=103.0, status=422), "422"),  # the run's own answer
        (Attempt(began_at=102.0, ended_at=103.0, status=503, why="Busy: sig=abc"), "503"),
        (Attempt(began_at=102.0, ended_at=103.0, status=302, why="Redirects are not followed."), "302"),
        (Attempt(began_at=102.0, ended_at=103.0, status=200, why="Cut off."), "no_whole_answer"),
        (Attempt(began_at=102.0, ended_at=103.0, why="Connection refused."), "no_whole_answer"),
        (Attempt(began_at=102.0), "cancelled"),
    ],
)
def test_what_went_wrong_with_an_attempt_is_told_in_one_of_few_words(attempt: Attempt, error: str | None) -> None:
    span = spans_of(replace(ANSWERED, tries=(attempt,)))["POST"]
    assert said_by(span).get("error.type") == error
    assert (span.status.status_code is StatusCode.ERROR) == (error is not None)
    assert "abc" not in (span.status.description or "")


def test_attempts_are_counted_and_one_that_was_cut_ends_with_what_came_next() -> None:
    tries = (Attempt(began_at=102.0, ended_at=102.5, status=503, why="Busy."), Attempt(began_at=103.0))
    spans = list(Spans(QUEUE, Resource({}), scope="flowbridge").of(replace(ANSWERED, tries=tries), CONTEXT, EPOCH_NS))
    first, second = [span for span in spans if span.name == "POST"]
    assert "http.request.resend_count" not in said_by(first)
    assert said_by(second)["http.request.resend_count"] == 1
    assert times_of(second) == (103.0, 104.0)


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.INDETERMINATE])
def test_a_request_that_found_no_answer_is_an_error_with_its_reason(outcome: Outcome) -> None:
    span = spans_of(replace(ANSWERED, outcome=outcome, detail="Throttled."))["process flow-requests"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Throttled.")
    assert said_by(span)["error.type"] == said_by(span)["flowbridge.outcome"] == outcome.value


@pytest.mark.parametrize("outcome", [Outcome.ANSWERED, Outcome.REFUSED, Outcome.EXPIRED, Outcome.REJECTED])
def test_a_request_that_was_dealt_with_is_none(outcome: Outcome) -> None:
    span = spans_of(replace(ANSWERED, outcome=outcome))["process flow-requests"]
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in said_by(span)


def test_a_request_that_a_copy_goes_on_with_has_not_failed_yet() -> None:
    span = spans_of(replace(ANSWERED, outcome=Outcome.UNAVAILABLE, copy_in_s=5.0, delivery_attempt=1))
    whole = span["process flow-requests"]
    assert whole.status.status_code is StatusCode.UNSET
    assert said_by(whole)["flowbridge.copy_in_s"] == 5.0
    assert said_by(whole)["flowbridge.delivery_attempt"] == 1


def test_our_own_defect_is_told_by_its_name_and_without_what_it_may_quote() -> None:
    observed = replace(
        ANSWERED, outcome=None, settlement="Abandon", defect="KeyError: sig=secret", reply_to=None, is_replied=False
    )
    spans = spans_of(observed)
    whole = spans["process flow-requests"]
    assert (whole.status.status_code, whole.status.description) == (StatusCode.ERROR, "KeyError: sig=***")
    assert said_by(whole)["error.type"] == "KeyError"
    assert "abandon flow-requests" in spans


def test_a_reply_that_did_not_get_out_is_an_error_until_its_request_was_dead_lettered() -> None:
    times = replace(TIMES, replied_at=None)
    spans = spans_of(replace(ANSWERED, times=times, settlement="DeadLetter", dead_letter="ReplyUndeliverable"))
    reply = spans["send flow-replies"]
    assert said_by(reply)["error.type"] == "undelivered"
    assert times_of(reply) == (104.0, 106.0)
    assert said_by(spans["dead_letter flow-requests"])["messaging.servicebus.disposition_status"] == "dead_letter"


def test_a_settlement_that_came_too_late_is_an_error() -> None:
    settle = spans_of(replace(ANSWERED, settled=Settled.LOCK_LOST))["complete flow-requests"]
    assert settle.status.status_code is StatusCode.ERROR
    assert said_by(settle)["error.type"] == "lock_lost"


def test_what_did_not_happen_has_no_span() -> None:
    times = replace(TIMES, asked_at=None, reply_began_at=None, replied_at=None, settling_at=None)
    assert set(spans_of(replace(ANSWERED, times=times, tries=()))) == {"process flow-requests"}
    assert "LeaveLocked" not in str(set(spans_of(replace(ANSWERED, settlement="LeaveLocked"))))
