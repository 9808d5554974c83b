import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.decode import decode
from worker.core.outcome import (
    Answered,
    Expired,
    FlowBody,
    Indeterminate,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
)
from worker.core.reply import Asked, Reply, asked_of, compose
from worker.core.request import Request, ReturnAddress

from .conftest import Deliver

TO = ReturnAddress(queue="flow-replies", session_id="caller-1")
ASKED = Asked(request_id="r-1", reply_correlation_id="r-1")
ANSWERED = Answered(
    http_status=201, body=FlowBody(content=b"\x00\xffraw", content_type="image/png"), run_id="run-1", attempts=1
)
REFUSED = Refused(
    http_status=422, detail="…", attempts=1, body=FlowBody(content=b"no", content_type=None), run_id="run-2"
)
REDIRECT = Refused(http_status=302, detail="Redirects are not followed.", attempts=1)
UNAVAILABLE = Unavailable(detail="Throttled.", attempts=4, http_status=429, retry_after_s=2.1, code="Throttled")
INDETERMINATE = Indeterminate(detail="Cut off.", attempts=2, http_status=200, run_id="run-3", code="TooLarge")
EXPIRED = Expired(detail="Too late.")
REJECTED = Rejected(reason=Reason.TRUNCATED, detail="Dataverse left parts out.")
OUTCOMES: list[RequestOutcome] = [
    ANSWERED, REFUSED, REDIRECT, UNAVAILABLE, INDETERMINATE, EXPIRED, REJECTED,
]  # fmt: skip


def reply_to(outcome: RequestOutcome, asked: Asked = ASKED, **times: Any) -> Reply:
    return compose(outcome, TO, asked, **{"enqueued_at": 100.0, "deadline": 210.0, "now": 103.25, **times})


def problem_of(reply: Reply) -> dict[str, Any]:
    assert reply.content_type == "application/problem+json"
    problem: dict[str, Any] = json.loads(reply.body)
    return problem


@pytest.mark.parametrize("outcome", [ANSWERED, REFUSED])
def test_what_a_run_answered_is_passed_on_byte_for_byte(outcome: Answered | Refused) -> None:
    reply = reply_to(outcome)
    assert outcome.body is not None
    assert (reply.body, reply.content_type) == (outcome.body.content, outcome.body.content_type)


@pytest.mark.parametrize("outcome", [REDIRECT, UNAVAILABLE, INDETERMINATE, EXPIRED, REJECTED])
def test_without_an_answer_of_a_run_the_body_is_a_problem_document(outcome: RequestOutcome) -> None:
    reply = reply_to(outcome)
    problem = problem_of(reply)
    assert problem["type"] == f"urn:flowbridge:outcome:{reply.properties['outcome']}"
    assert problem["title"]
    assert 400 <= problem["status"] < 600 or problem["status"] == 302
    assert problem["detail"]
    assert problem["request-id"] == "r-1"


def test_the_properties_are_exactly_those_that_exist() -> None:
    assert reply_to(ANSWERED).properties == {
        "outcome": "answered",
        "request-id": "r-1",
        "http-status": 201,
        "attempts": 1,
        "elapsed-ms": 3250,
        "run-id": "run-1",
    }
    assert reply_to(UNAVAILABLE).properties == {
        "outcome": "unavailable",
        "request-id": "r-1",
        "http-status": 429,
        "attempts": 4,
        "elapsed-ms": 3250,
        "retry-after-s": 3,
        "reason": "Throttled",
    }
    assert reply_to(REJECTED).properties == {
        "outcome": "rejected",
        "request-id": "r-1",
        "attempts": 0,
        "elapsed-ms": 3250,
        "reason": "Truncated",
    }
    told = Asked(request_id="r", reply_correlation_id="r", conversation_id="c", traceparent="00-1-2-01")
    assert reply_to(EXPIRED, told).properties == {
        "outcome": "expired",
        "request-id": "r",
        "conversation-id": "c",
        "attempts": 0,
        "elapsed-ms": 3250,
        "traceparent": "00-1-2-01",
    }


def test_too_large_keeps_status_and_run() -> None:
    properties = reply_to(INDETERMINATE).properties
    assert (properties["reason"], properties["http-status"], properties["run-id"]) == ("TooLarge", 200, "run-3")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_numbers_are_integers_and_all_else_is_text(outcome: RequestOutcome) -> None:
    numbers = {"http-status", "attempts", "elapsed-ms", "retry-after-s"}
    for name, value in reply_to(outcome).properties.items():
        assert type(value) is (int if name in numbers else str), name


@settings(deadline=None)
@given(retry_after_s=st.floats(0.0, 1e6))
def test_a_caller_is_never_told_to_come_back_too_early(retry_after_s: float) -> None:
    reply = reply_to(Unavailable(detail="…", attempts=0, retry_after_s=retry_after_s))
    told = reply.properties["retry-after-s"]
    assert isinstance(told, int)
    assert max(1.0, retry_after_s) <= told < retry_after_s + 1.0 + 1e-6 or told == 1


def test_elapsed_time_is_never_negative() -> None:
    assert reply_to(ANSWERED, enqueued_at=500.0).properties["elapsed-ms"] == 0


@pytest.mark.parametrize(
    ("deadline", "asked_s", "time_to_live_s"),
    [
        (210.0, None, 106.75),  # what the caller can still use
        (110.0, None, 30.0),
        (50.0, None, 30.0),
        (None, None, 30.0),
        (110.0, 300.0, 300.0),
        (210.0, 60.0, 106.75),
        (110.0, 5.0, 30.0),
    ],
)
def test_a_reply_lives_as_long_as_it_is_of_use(
    deadline: float | None, asked_s: float | None, time_to_live_s: float
) -> None:
    asked = Asked(request_id="r", reply_correlation_id="r", reply_ttl_s=asked_s)
    assert reply_to(ANSWERED, asked, deadline=deadline).time_to_live_s == pytest.approx(time_to_live_s)


def test_the_callers_own_id_is_what_the_reply_correlates_by(deliver: Deliver) -> None:
    def correlation(**given_: Any) -> str:
        return asked_of(deliver(**given_), None, None).reply_correlation_id

    assert correlation(message_id="m", correlation_id="c") == "m"
    assert correlation(message_id=None, correlation_id="c") == "c"
    assert correlation(message_id=None) == "unnamed-1700000000000-17"
    assert correlation(message_id="replayed", properties={"request-id": "first"}) == "first"


def test_what_a_request_says_of_its_reply_is_known_even_where_it_cannot_be_decoded(deliver: Deliver) -> None:
    asked = asked_of(deliver(message_id="m", correlation_id="c", body=None), None, None)
    assert asked == Asked(request_id="m", reply_correlation_id="m", conversation_id="c")


def test_a_decoded_request_adds_its_wishes(deliver: Deliver) -> None:
    delivery = deliver(properties={"reply-ttl-s": "90", "traceparent": "00-1-2-01"})
    request = decode(delivery)
    assert isinstance(request, Request)
    asked = asked_of(delivery, request, None)
    assert (asked.reply_ttl_s, asked.traceparent) == (90.0, "00-1-2-01")


addresses = st.builds(ReturnAddress, queue=st.sampled_from(["a", "b"]), session_id=st.text(min_size=1, max_size=3))


@settings(deadline=None)
@given(
    asked=st.lists(st.tuples(addresses, st.text(min_size=1, max_size=3)), min_size=1, max_size=10),
    outcomes=st.permutations(OUTCOMES),
    now=st.floats(100.0, 1e6),
)
def test_the_reply_id_is_the_same_on_every_repeat_and_another_for_another_request_or_session(
    asked: list[tuple[ReturnAddress, str]], outcomes: list[RequestOutcome], now: float
) -> None:
    ids: dict[tuple[ReturnAddress, str], set[str]] = defaultdict(set)
    for to, request_id in asked:
        for at, outcome in enumerate(outcomes[:2]):
            same = Asked(request_id=request_id, reply_correlation_id=request_id)
            reply = compose(outcome, to, same, enqueued_at=100.0, deadline=None, now=now + at)
            ids[to, request_id].add(reply.message_id)
            assert 1 <= len(reply.message_id) <= 128
            assert reply.to == to
    assert all(len(repeats) == 1 for repeats in ids.values())
    assert len(set.union(*ids.values())) == len(ids)


@settings(deadline=None)
@given(detail=st.text(st.characters(), max_size=50), code=st.text(st.characters(), max_size=5))
def test_a_problem_document_is_json_whatever_a_flow_said(detail: str, code: str) -> None:
    problem = problem_of(reply_to(Refused(http_status=None, detail=detail, attempts=1, code=code)))
    assert isinstance(problem["detail"], str)
    assert problem["status"] == 422
