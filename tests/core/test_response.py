"""The table of responses: did a run start, and may the call be sent again?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.outcome import Answered, Indeterminate, Refused, Unavailable
from worker.core.response import (
    Accepted,
    Again,
    Ended,
    Flaw,
    NoAnswer,
    Response,
    Sign,
    StillRunning,
    judge_poll,
    judge_response,
    judge_silence,
    platform_error,
)

RUN = "08585287554177334956853859655CU00"


def error(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "The request failed."}}).encode()


def judged(status: int, body: bytes | Flaw = b"", *, run_id: str | None = None) -> Ended:
    result = judge_response(Response(status=status, body=body, run_id=run_id), attempts=1)
    assert isinstance(result, Ended)
    return result


@pytest.mark.parametrize(
    ("status", "body", "run_id", "outcome", "again", "sign"),
    [
        (200, b"x", RUN, Answered, Again.NEVER, Sign.ALIVE),
        (200, b"x", None, Answered, Again.NEVER, Sign.ALIVE),
        (202, b"", RUN, Answered, Again.NEVER, Sign.ALIVE),
        (204, b"", RUN, Answered, Again.NEVER, Sign.ALIVE),
        (302, b"", None, Refused, Again.NEVER, Sign.ALIVE),
        (302, b"", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (400, error("TriggerInputSchemaMismatch"), None, Refused, Again.NEVER, Sign.ALIVE),
        (400, error("WorkflowTriggerIsNotEnabled"), None, Refused, Again.NEVER, Sign.ALIVE),
        (400, b"mine", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (401, error("DirectApiAuthorizationRequired"), None, Refused, Again.NEVER, Sign.ALIVE),
        (401, error("OAuthAccessPolicyNotFound"), None, Refused, Again.NEVER, Sign.ALIVE),
        (401, b"", None, Refused, Again.ONCE_WITH_A_FRESH_TOKEN, Sign.ALIVE),
        (401, b"mine", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (403, error("MisMatchingOAuthClaims"), None, Refused, Again.NEVER, Sign.ALIVE),
        (404, error("WorkflowNotFound"), None, Refused, Again.NEVER, Sign.ALIVE),
        (413, b"", None, Refused, Again.NEVER, Sign.ALIVE),
        (429, b"", None, Unavailable, Again.SAFELY, Sign.ALIVE),
        (429, b"mine", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (500, error("InternalServerError"), None, Unavailable, Again.SAFELY, Sign.FAILED),
        (500, b"<html>", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (500, b"mine", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (502, error("NoResponse"), RUN, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (502, error("NoResponse"), None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (502, b"<html>", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (502, b"mine", RUN, Refused, Again.NEVER, Sign.ALIVE),
        (503, error("ServiceUnavailable"), None, Unavailable, Again.SAFELY, Sign.FAILED),
        (503, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (504, error("GatewayTimeout"), RUN, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (504, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (101, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (599, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
    ],
)
def test_each_response_means_what_the_platform_means(
    *, status: int, body: bytes, run_id: str | None, outcome: type, again: Again, sign: Sign
) -> None:
    ended = judged(status, body, run_id=run_id)
    assert (type(ended.outcome), ended.again, ended.sign) == (outcome, again, sign)


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=50),
)
def test_what_a_run_answers_is_its_own_byte_for_byte(status: int, body: bytes) -> None:
    outcome = judged(status, body, run_id=RUN).outcome
    if status == 504:
        assert isinstance(outcome, Indeterminate)
        assert outcome.run_id == RUN
    else:
        assert isinstance(outcome, Refused)
        assert outcome.body is not None
        assert (outcome.body.content, outcome.http_status, outcome.run_id) == (body, status, RUN)


@given(
    status=st.integers(100, 599),
    body=st.one_of(st.binary(max_size=200), st.just(error("SomeCode")), st.sampled_from(Flaw)),
    run_id=st.sampled_from([None, RUN]),
)
def test_what_may_have_run_is_never_called_unavailable(status: int, body: bytes | Flaw, run_id: str | None) -> None:
    ended = judged(status, body, run_id=run_id)
    if ended.again is Again.SAFELY:
        assert run_id is None
        assert status in {429, 500, 503}
    if isinstance(ended.outcome, Unavailable):
        assert ended.again is Again.SAFELY
    if isinstance(ended.outcome, Answered):
        assert 200 <= status < 300
        assert not isinstance(body, Flaw)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_above_the_limit_is_too_large_and_not_asked_for_again(status: int) -> None:
    ended = judged(status, Flaw.TOO_LARGE, run_id=RUN)
    assert isinstance(ended.outcome, Indeterminate)
    assert (ended.outcome.code, ended.outcome.http_status, ended.outcome.run_id) == ("TooLarge", status, RUN)
    assert ended.again is Again.NEVER


@pytest.mark.parametrize("flaw", [Flaw.CUT_OFF, Flaw.TIMED_OUT])
def test_half_an_answer_is_none(flaw: Flaw) -> None:
    ended = judged(200, flaw, run_id=RUN)
    assert isinstance(ended.outcome, Indeterminate)
    assert ended.again is Again.IF_IDEMPOTENT


def test_half_a_rejection_is_still_a_rejection() -> None:
    assert isinstance(judged(404, Flaw.CUT_OFF).outcome, Refused)
    assert isinstance(judged(429, Flaw.CUT_OFF).outcome, Unavailable)


def test_throttling_tells_when_to_come_back() -> None:
    result = judge_response(Response(status=429, body=error("Throttled"), retry_after_s=7.0), attempts=3)
    assert isinstance(result, Ended)
    assert isinstance(result.outcome, Unavailable)
    assert (result.outcome.retry_after_s, result.outcome.code, result.outcome.attempts) == (7.0, "Throttled", 3)


def test_a_promise_with_a_location_is_to_be_fetched_there() -> None:
    result = judge_response(Response(status=202, body=b"", location="/o", run_id=RUN, retry_after_s=2.0), attempts=1)
    assert result == Accepted(location="/o", retry_after_s=2.0, run_id=RUN)


def test_silence_is_unavailable_only_before_anything_left() -> None:
    before = judge_silence(NoAnswer(was_sent=False, why="refused"), attempts=1)
    after = judge_silence(NoAnswer(was_sent=True, why="reset"), attempts=1)
    assert (type(before.outcome), before.again) == (Unavailable, Again.SAFELY)
    assert (type(after.outcome), after.again) == (Indeterminate, Again.IF_IDEMPOTENT)


@pytest.mark.parametrize(
    "response",
    [
        Response(status=202, body=b"", retry_after_s=3.0),
        Response(status=503, body=b""),
        Response(status=401, body=b""),
        Response(status=200, body=Flaw.CUT_OFF, run_id=RUN),
    ],
)
def test_trouble_while_polling_changes_nothing_about_the_run(response: Response) -> None:
    accepted = Accepted(location="/o", retry_after_s=None, run_id=RUN)
    assert isinstance(judge_poll(response, accepted, attempts=1), StillRunning)


def test_a_polled_answer_is_the_runs_own_even_where_it_does_not_say_so() -> None:
    accepted = Accepted(location="/o", retry_after_s=None, run_id=RUN)
    ended = judge_poll(Response(status=404, body=b"none"), accepted, attempts=1)
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Refused)
    assert ended.outcome.body is not None
    assert (ended.outcome.body.content, ended.outcome.run_id) == (b"none", RUN)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reading_of_errors(body: bytes) -> None:
    assert platform_error(body) is None


@pytest.mark.parametrize(
    "body",
    [b'{"error":"x"}', b'{"error":{"code":7}}', b'{"error":{"code":""}}', b"[]", b'"error"', b"[" * 60_000, b"null"],
)
def test_other_bodies_are_no_platform_error(body: bytes) -> None:
    assert platform_error(body) is None


def test_a_platforms_text_is_shown_without_secrets_and_control_characters() -> None:
    found = platform_error(b'{"error":{"code":"A\\nB","message":"see https://x/?sig=abcdef&v=1\\r\\nnow"}}')
    assert found is not None
    assert found.code == "A B"
    assert found.message == "see https://x/?sig=***&v=1  now"
