"""The table of responses: did a run start, and may the call be sent again?"""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.outcome import Answered, Indeterminate, Refused, Running, Unavailable
from worker.core.response import (
    Again,
    Ended,
    Flaw,
    NoAnswer,
    Response,
    Sign,
    StillRunning,
    is_own_answer,
    judge_poll,
    judge_response,
    judge_silence,
    platform_error,
)

RUN = "08585287554177334956853859655CU00"
RUNNING = Running(location="/o", retry_after_s=None, run_id=RUN, attempts=2)


def error(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "The request failed."}}).encode()


RESPONSES = st.builds(
    Response,
    status=st.one_of(st.integers(0, 999), st.sampled_from([200, 202, 401, 429, 500, 502, 503, 504])),
    body=st.one_of(
        st.binary(max_size=50),
        st.sampled_from([error("NoResponse"), error("SomeCode"), error("OAuthAccessPolicyNotFound")]),
        st.sampled_from([b'{"error":{"code":7}}', b'{"error":{"code":"\\ud800"}}', b'{"error":[', b"[" * 9_999]),
        st.sampled_from(Flaw),
    ),
    content_type=st.none() | st.text(max_size=9),
    run_id=st.none() | st.just(RUN) | st.text(min_size=1, max_size=9),
    location=st.none() | st.text(max_size=9),
    retry_after_s=st.none() | st.floats(0.0, 1e9),
    remaining_writes=st.none() | st.integers(0, 999_999_999),
)
ATTEMPTS = st.integers(1, 99)


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
        (504, Flaw.TOO_LARGE, RUN, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (101, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
        (599, b"", None, Indeterminate, Again.IF_IDEMPOTENT, Sign.FAILED),
    ],
)
def test_each_response_means_what_the_platform_means(
    *, status: int, body: bytes | Flaw, run_id: str | None, outcome: type, again: Again, sign: Sign
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


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_only_what_surely_did_not_run_is_called_unavailable_and_safe_to_repeat(
    response: Response, attempts: int
) -> None:
    result = judge_response(response, attempts=attempts)
    if isinstance(result, Ended):
        assert (result.again is Again.SAFELY) is isinstance(result.outcome, Unavailable)
        if result.again is Again.SAFELY:
            assert response.run_id is None
            assert response.status in {429, 500, 503}


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_a_call_in_doubt_is_repeated_only_where_it_is_idempotent(response: Response, attempts: int) -> None:
    result = judge_response(response, attempts=attempts)
    if isinstance(result, Ended):
        is_in_doubt = isinstance(result.outcome, Indeterminate) and result.outcome.code != "TooLarge"
        assert (result.again is Again.IF_IDEMPOTENT) is is_in_doubt


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_a_fresh_token_is_tried_only_where_no_run_said_401(response: Response, attempts: int) -> None:
    result = judge_response(response, attempts=attempts)
    if isinstance(result, Ended) and result.again is Again.ONCE_WITH_A_FRESH_TOKEN:
        assert (response.status, response.run_id) == (401, None)


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_a_run_id_is_never_lost(response: Response, attempts: int) -> None:
    result = judge_response(response, attempts=attempts)
    told = result if isinstance(result, Running) else result.outcome
    assert (None if isinstance(told, Unavailable) else told.run_id) == response.run_id


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_a_body_is_passed_on_whole_and_untouched_or_not_at_all(response: Response, attempts: int) -> None:
    for result in (judge_response(response, attempts=attempts), judge_poll(response, RUNNING)):
        match result:
            case Ended(outcome=Answered(body=body, http_status=status)):
                assert body.content == response.body
                assert 200 <= status < 300
            case Ended(outcome=Refused(body=body, http_status=status)) if body is not None:
                assert body.content == response.body
                assert status is not None
                assert status >= 300


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_every_end_tells_status_and_attempts_in_text_that_can_be_sent(response: Response, attempts: int) -> None:
    for result in (
        judge_response(response, attempts=attempts),
        judge_poll(response, replace(RUNNING, attempts=attempts)),
    ):
        if isinstance(result, Ended):
            assert (result.outcome.http_status, result.outcome.attempts) == (response.status, attempts)
            if not isinstance(result.outcome, Answered):
                (result.outcome.detail + (result.outcome.code or "")).encode()


@given(response=RESPONSES, attempts=ATTEMPTS)
def test_only_a_202_with_a_location_is_a_promise(response: Response, attempts: int) -> None:
    is_promise = response.status == 202 and response.location is not None
    assert isinstance(judge_response(response, attempts=attempts), Running) is is_promise


@given(response=RESPONSES)
def test_what_a_poll_brings_never_starts_a_second_run(response: Response) -> None:
    result = judge_poll(response, RUNNING)
    if isinstance(result, Ended):
        assert result.again is Again.NEVER
        assert not isinstance(result.outcome, Unavailable)


@given(silence=st.builds(NoAnswer, was_sent=st.booleans(), why=st.text(max_size=9)), attempts=ATTEMPTS)
def test_silence_is_judged_by_whether_anything_left(silence: NoAnswer, attempts: int) -> None:
    ended = judge_silence(silence, attempts=attempts)
    assert isinstance(ended.outcome, Indeterminate if silence.was_sent else Unavailable)
    assert ended.again is (Again.IF_IDEMPOTENT if silence.was_sent else Again.SAFELY)
    assert (ended.outcome.detail, ended.outcome.attempts, ended.sign) == (silence.why, attempts, Sign.FAILED)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_above_the_limit_is_too_large_and_not_asked_for_again(status: int) -> None:
    ended = judged(status, Flaw.TOO_LARGE, run_id=RUN)
    assert isinstance(ended.outcome, Indeterminate)
    assert (ended.outcome.code, ended.outcome.http_status, ended.outcome.run_id) == ("TooLarge", status, RUN)
    assert ended.again is Again.NEVER


@pytest.mark.parametrize("flaw", [Flaw.CUT_OFF, Flaw.TIMED_OUT, Flaw.GARBLED])
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
    assert result == Running(location="/o", retry_after_s=2.0, run_id=RUN, attempts=1)


@pytest.mark.parametrize(
    "response",
    [
        Response(status=202, body=b"", retry_after_s=3.0),
        Response(status=503, body=b""),
        Response(status=401, body=b""),
        Response(status=200, body=Flaw.CUT_OFF, run_id=RUN),
        Response(status=101, body=b""),
        Response(status=99, body=b"", run_id=RUN),
    ],
)
def test_trouble_while_polling_changes_nothing_about_the_run(response: Response) -> None:
    assert isinstance(judge_poll(response, RUNNING), StillRunning)


def test_a_polled_answer_is_the_runs_own_even_where_it_does_not_say_so() -> None:
    ended = judge_poll(Response(status=404, body=b"none"), RUNNING)
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Refused)
    assert ended.outcome.body is not None
    assert (ended.outcome.body.content, ended.outcome.run_id) == (b"none", RUN)


@pytest.mark.parametrize(("status", "body"), [(502, error("NoResponse")), (504, b"")])
def test_a_run_that_ended_without_an_answer_is_in_doubt_when_polled_too(status: int, body: bytes) -> None:
    ended = judge_poll(Response(status=status, body=body, run_id=RUN), RUNNING)
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Indeterminate)
    assert (ended.outcome.http_status, ended.outcome.run_id, ended.again) == (status, RUN, Again.NEVER)


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


@pytest.mark.parametrize(
    ("status", "run_id", "is_own"), [(200, None, True), (200, RUN, True), (422, RUN, True), (403, None, False)]
)
def test_a_2xx_is_a_runs_own_answer_and_any_other_status_only_with_its_id(
    status: int, run_id: str | None, *, is_own: bool
) -> None:
    assert is_own_answer(judged(status, run_id=run_id)) is is_own


@pytest.mark.parametrize("message", ["no response", "no response.", "was that all?", ""])
def test_what_the_platform_said_ends_with_one_full_stop(message: str) -> None:
    body = json.dumps({"error": {"code": "NoResponse", "message": message}}).encode()
    outcome = judged(502, body).outcome
    assert isinstance(outcome, Indeterminate)
    before, _, after = outcome.detail.rpartition(" The flow may have run")
    assert after == "."
    assert re.search(r"\w[.?]$", before)
