"""Error answers of the platform, or of who knows whom: broken bodies, statuses that don't exist."""

import json

import pytest
from support.flows import Caller, http, raw_server, says, spec_of

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import FlowBody, Indeterminate, Refused, Unavailable
from worker.core.response import ERROR_BODY_LIMIT_BYTES

ONCE = RetrySpec(attempts=1)
RUN = "x-ms-workflow-run-id: 0858"


def error(code: object, message: object = "") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


CODELESS_BODIES = {
    "nothing": b"",
    "HTML": b"<html>error</html>",
    "cut JSON": b'{"error":{"code":"Serv',
    "deep nesting": b'{"error":' * 5_000,
    "deeper nesting": b"[" * 60_000,
    "no UTF-8": b'{"error":{"code":"\xff\xfe"}}',
    "too long to be the platform's": error("ServiceUnavailable", "x" * ERROR_BODY_LIMIT_BYTES),
    "number as code": error(500),
    "list as code": error(["ServiceUnavailable"]),
    "null as code": error(None),
    "empty code": error(""),
    "text as error": b'{"error":"ServiceUnavailable"}',
    "list of errors": b'[{"error":{"code":"ServiceUnavailable"}}]',
    "no error": b'{"code":"ServiceUnavailable"}',
    "a number beyond what Python reads": b'{"error":{"code":' + b"9" * 9_999 + b"}}",
}


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Refused), (429, Unavailable), (500, Indeterminate), (502, Indeterminate)]
)
@pytest.mark.parametrize("body", CODELESS_BODIES.values(), ids=CODELESS_BODIES.keys())
async def test_an_error_body_that_cannot_be_read_is_as_good_as_none(
    caller: Caller, status: int, kind: type[Refused | Unavailable | Indeterminate], body: bytes
) -> None:
    async with raw_server(says(http(status, body=body))) as url:
        outcome = await caller.call(spec_of(url, auth="none", retry=ONCE))
    assert isinstance(outcome, kind)
    assert (outcome.http_status, outcome.code) == (status, None)


@pytest.mark.parametrize("message", [7, None, ["x"], "x" * 50_000, "\ud800\x00"])
async def test_an_odd_message_does_not_spoil_the_code(caller: Caller, message: object) -> None:
    async with raw_server(says(http(503, body=error("ServiceUnavailable", message)))) as url:
        outcome = await caller.call(spec_of(url, auth="none", retry=ONCE))
    assert isinstance(outcome, Unavailable)
    assert outcome.code == "ServiceUnavailable"
    assert len(outcome.detail.encode()) < 500


@pytest.mark.parametrize("status", ["000", "099", "600", "999"])
async def test_a_status_that_does_not_exist_leaves_the_call_in_doubt(caller: Caller, status: str) -> None:
    answer = f"HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.http_status, outcome.attempts) == (int(status), 1)


async def test_whatever_status_a_run_chooses_is_its_own(caller: Caller) -> None:
    async with raw_server(says(http(999, RUN, body=b"mine"))) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Refused)
    assert (outcome.http_status, outcome.run_id) == (999, "0858")
    assert outcome.body == FlowBody(content=b"mine", content_type=None)


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503])
async def test_a_runs_answer_above_the_limit_is_too_large_whatever_its_status(caller: Caller, status: int) -> None:
    async with raw_server(says(http(status, RUN, body=b"x" * 1_000))) as url:
        outcome = await caller.call(spec_of(url, auth="none", idempotent=True, max_response_bytes=999))
    assert isinstance(outcome, Indeterminate)
    assert (outcome.code, outcome.http_status, outcome.run_id, outcome.attempts) == ("TooLarge", status, "0858", 1)


@pytest.mark.parametrize(("status", "kind"), [(404, Refused), (429, Unavailable), (503, Indeterminate)])
async def test_a_platforms_page_above_the_limit_says_what_its_status_says(
    caller: Caller, status: int, kind: type[Refused | Unavailable | Indeterminate]
) -> None:
    async with raw_server(says(http(status, body=b"x" * 1_000))) as url:
        outcome = await caller.call(spec_of(url, auth="none", retry=ONCE, max_response_bytes=999))
    assert isinstance(outcome, kind)
    assert (outcome.http_status, outcome.code) == (status, None)


@pytest.mark.parametrize(("status", "kind"), [(404, Refused), (413, Refused), (429, Unavailable), (503, Indeterminate)])
async def test_half_an_error_body_leaves_what_the_status_says(
    caller: Caller, status: int, kind: type[Refused | Unavailable | Indeterminate]
) -> None:
    answer = http(status, body=error("ServiceUnavailable"))[:-5]
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(url, auth="none", retry=ONCE))
    assert isinstance(outcome, kind)
    assert (outcome.http_status, outcome.code) == (status, None)
