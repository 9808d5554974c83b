import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.door.answer import BODILESS, Problem, response_of, unanswered
from worker.core.outcome import Outcome
from worker.core.typed_reply import TypedReply

REPLIES: Final = st.builds(
    TypedReply,
    outcome=st.sampled_from(Outcome),
    request_id=st.just("door-0.1.n.o"),
    correlation_id=st.none(),
    http_status=st.none() | st.integers(-1, 1000),
    attempts=st.none() | st.integers(0, 9),
    elapsed_ms=st.none(),
    run_id=st.none() | st.text(min_size=1, max_size=20),
    reason=st.none(),
    retry_after_s=st.none() | st.integers(0, 100),
    content_type=st.none() | st.just("application/json"),
    body=st.binary(max_size=20),
    properties=st.just({}),
)
EXPECTED: Final = {Outcome.UNAVAILABLE: 503, Outcome.INDETERMINATE: 504, Outcome.EXPIRED: 504, Outcome.REJECTED: 400}


@given(REPLIES)
def test_every_reply_is_a_response_that_http_can_say(reply: TypedReply) -> None:
    response = response_of(reply)
    assert 200 <= response.status <= 599
    assert response.headers["Flowbridge-Outcome"] == reply.outcome.value
    assert response.headers["Flowbridge-Request-Id"] == reply.request_id
    assert all(value.isascii() and value.isprintable() for value in response.headers.values())
    assert ("Retry-After" in response.headers) == (reply.outcome is Outcome.UNAVAILABLE)
    assert (response.body, response.content_type) == (
        (b"", None) if response.status in BODILESS else (reply.body, reply.content_type)
    )


@given(REPLIES)
def test_the_status_is_the_flows_own_where_a_run_answered_and_says_the_outcome_else(reply: TypedReply) -> None:
    status = response_of(reply).status
    own = reply.http_status if reply.http_status is not None and 200 <= reply.http_status <= 599 else None
    match reply.outcome:
        case Outcome.ANSWERED:
            assert status == (own or 200)
        case Outcome.REFUSED:
            assert status == ((own if reply.run_id else None) or 422)
        case outcome:
            assert status == EXPECTED[outcome]


@pytest.mark.parametrize("retry_after_s", [None, 7])
def test_a_problem_is_a_document_of_its_own_type(retry_after_s: int | None) -> None:
    response = Problem(
        status=503, kind="busy", detail="Later.", retry_after_s=retry_after_s, headers={"X": "1"}
    ).response()
    document: dict[str, Any] = json.loads(response.body)
    assert (response.content_type, response.status) == ("application/problem+json", 503)
    assert document["type"] == "urn:flowbridge:door:busy"
    assert response.headers == {"X": "1", **({} if retry_after_s is None else {"Retry-After": "7"})}


def test_who_got_no_answer_is_told_that_the_flow_may_have_run() -> None:
    response = unanswered("door-0.1.n.o")
    assert response.status == 504
    assert response.headers == {"Flowbridge-Outcome": "indeterminate", "Flowbridge-Request-Id": "door-0.1.n.o"}
