import pytest

from worker.core.outcome import (
    Answered,
    Expired,
    FlowBody,
    Indeterminate,
    Outcome,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
)
from worker.core.request import OneWay, ReturnAddress
from worker.core.settlement import Complete, DeadLetter
from worker.core.verdict import TryLater, dead_letter, describe, judge, kind_of, undeliverable

CALLER = ReturnAddress(queue="flow-replies", session_id="s")
ANSWERED = Answered(
    http_status=200, body=FlowBody(content=b"secret", content_type="text/plain"), run_id="run-1", attempts=1
)
REFUSED = Refused(http_status=404, detail="No such trigger.", attempts=1, code="WorkflowNotFound")
UNAVAILABLE = Unavailable(detail="Throttled.", attempts=4, http_status=429, retry_after_s=3.0)
INDETERMINATE = Indeterminate(detail="No answer in time.", attempts=2, run_id="run-2")
EXPIRED = Expired(detail="Too late.")
REJECTED = Rejected(reason=Reason.UNROUTABLE, detail="No route.")
OUTCOMES: list[RequestOutcome] = [ANSWERED, REFUSED, UNAVAILABLE, INDETERMINATE, EXPIRED, REJECTED]


@pytest.mark.parametrize("is_idempotent", [False, True])
@pytest.mark.parametrize("outcome", [one for one in OUTCOMES if one is not REJECTED])
def test_with_a_return_address_every_outcome_is_replied_and_completed(
    outcome: RequestOutcome, is_idempotent: bool
) -> None:
    verdict = judge(outcome, CALLER, is_idempotent=is_idempotent)
    assert verdict.reply_to == CALLER
    assert verdict.then == Complete()


def test_a_rejected_request_is_replied_to_and_then_dead_lettered_with_its_reason() -> None:
    verdict = judge(REJECTED, CALLER, is_idempotent=False)
    assert verdict.reply_to == CALLER
    assert isinstance(verdict.then, DeadLetter)
    assert verdict.then.reason is Reason.UNROUTABLE


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_one_way_request_is_never_replied_to(outcome: RequestOutcome) -> None:
    assert judge(outcome, OneWay(), is_idempotent=True).reply_to is None


def test_an_answered_one_way_request_is_completed() -> None:
    assert judge(ANSWERED, OneWay(), is_idempotent=False).then == Complete()


@pytest.mark.parametrize(
    ("outcome", "is_idempotent"), [(UNAVAILABLE, False), (UNAVAILABLE, True), (INDETERMINATE, True)]
)
def test_one_way_what_may_be_called_again_is_tried_later(
    outcome: Unavailable | Indeterminate, is_idempotent: bool
) -> None:
    assert judge(outcome, OneWay(), is_idempotent=is_idempotent).then == TryLater(outcome=outcome)


@pytest.mark.parametrize(
    ("outcome", "is_idempotent", "reason"),
    [
        (INDETERMINATE, False, Reason.FLOW_INDETERMINATE),
        (REFUSED, False, Reason.FLOW_REFUSED),
        (REFUSED, True, Reason.FLOW_REFUSED),
        (EXPIRED, True, Reason.EXPIRED),
        (REJECTED, True, Reason.UNROUTABLE),
    ],
)
def test_one_way_all_else_is_dead_lettered_at_once(
    outcome: RequestOutcome, is_idempotent: bool, reason: Reason
) -> None:
    then = judge(outcome, OneWay(), is_idempotent=is_idempotent).then
    assert isinstance(then, DeadLetter)
    assert then.reason is reason


@pytest.mark.parametrize("reason", list(Reason))
def test_a_rejected_request_keeps_its_reason_whatever_it_is(reason: Reason) -> None:
    assert dead_letter(Rejected(reason=reason, detail="…")).reason is reason


def test_the_reasons_that_operators_filter_by_are_never_renamed() -> None:
    assert sorted(Reason) == [
        "Expired",
        "FlowIndeterminate",
        "FlowRefused",
        "FlowUnavailable",
        "Malformed",
        "ReplyUndeliverable",
        "ReturnAddressInvalid",
        "ReturnAddressNotAllowed",
        "TooLarge",
        "Truncated",
        "Unroutable",
    ]


def test_the_outcomes_that_callers_read_are_never_renamed() -> None:
    assert [kind_of(outcome) for outcome in OUTCOMES] == list(
        map(Outcome, ["answered", "refused", "unavailable", "indeterminate", "expired", "rejected"])
    )


def test_a_description_tells_a_person_outcome_status_reason_run_and_attempts() -> None:
    assert describe(ANSWERED) == "answered, HTTP 200, run run-1, 1 attempt: the flow answered"
    assert describe(REFUSED) == "refused, HTTP 404, WorkflowNotFound, 1 attempt: No such trigger."
    assert describe(INDETERMINATE) == "indeterminate, run run-2, 2 attempts: No answer in time."
    assert describe(REJECTED) == "rejected, Unroutable, 0 attempts: No route."


def test_an_undeliverable_answer_leaves_outcome_and_run_but_never_its_body() -> None:
    letter = undeliverable(ANSWERED, "the queue is gone")
    assert letter.reason is Reason.REPLY_UNDELIVERABLE
    assert letter.description.startswith("the queue is gone; ")
    assert "answered" in letter.description
    assert "run-1" in letter.description
    assert "secret" not in letter.description


def test_a_dead_letter_says_why_there_is_no_further_try() -> None:
    assert dead_letter(UNAVAILABLE, because="all tries are spent").description.endswith("; all tries are spent")


def test_no_description_is_longer_than_the_broker_takes() -> None:
    endless = Refused(http_status=400, detail="x" * 10_000, attempts=1)
    assert len(dead_letter(endless).description.encode("utf-16-le")) <= 4096
    assert len(undeliverable(endless, "y" * 10_000).description.encode("utf-16-le")) <= 4096


def test_an_answered_request_cannot_be_dead_lettered() -> None:
    with pytest.raises(AssertionError, match="completed"):
        dead_letter(ANSWERED)
