"""What the headers of an answer say, and what they can't say."""

import asyncio

import pytest
from support.flows import Caller, http, raw_server, says, spec_of
from yarl import URL

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import Answered, Unavailable
from worker.core.response import Response
from worker.flow.exchange import Departure, HttpRequest, Session, exchange

THROTTLED = b'{"error":{"code":"Throttled"}}'
REMAINING = "x-ms-ratelimit-burst-remaining-workflow-writes"


async def test_headers_that_amqp_could_not_carry_are_made_fit(caller: Caller) -> None:
    answer = http(200, "Content-Type: text/\xff", "x-ms-workflow-run-id: 08\xff", body=b"ok")
    async with raw_server(says(answer)) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Answered)
    assert (outcome.body.content_type, outcome.run_id) == (None, "08?")


RETRY_AFTERS = {
    "negative": ("-5", None),
    "beyond nine digits": ("99999999999999999999", 999_999_999.0),
    "nine digits": ("999999999", 999_999_999.0),
    "exponent": ("1e9", None),
    "not a number": ("nan", None),
    "infinite": ("inf", None),
    "hexadecimal": ("0x10", None),
    "a word": ("soon", None),
    "empty": ("", None),
    "no ASCII": ("\xb2", None),
    "a date that has passed": ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    "the first date": ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    "the last date": ("Fri, 31 Dec 9999 23:59:59 -2359", 999_999_999.0),
    "no date": ("Fri, 99 Foo 2999 99:99:99 GMT", None),
    "long": ("9" * 5_000, None),
}


@pytest.mark.parametrize(("header", "seconds"), RETRY_AFTERS.values(), ids=RETRY_AFTERS.keys())
async def test_an_absurd_retry_after_is_bounded_or_left_out(caller: Caller, header: str, seconds: float | None) -> None:
    async with raw_server(says(http(429, f"Retry-After: {header}", body=THROTTLED))) as url:
        outcome = await caller.call(spec_of(url, auth="none", retry=RetrySpec(attempts=1)))
    assert isinstance(outcome, Unavailable)
    assert (outcome.retry_after_s, outcome.code) == (seconds, "Throttled")


@pytest.mark.parametrize("header", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_nobody_waits_for_a_retry_after_beyond_the_deadline(caller: Caller, header: str) -> None:
    async with raw_server(says(http(429, f"Retry-After: {header}", body=THROTTLED))) as url:
        outcome = await caller.call(spec_of(url, auth="none"))
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 1


@pytest.mark.parametrize(
    ("headers", "remaining"),
    [
        ([], None),
        ([f"{REMAINING}: 1249"], 1249),
        ([f"{REMAINING.upper()}:  0 "], 0),
        ([f"{REMAINING}: 999999999"], 999_999_999),
        ([f"{REMAINING}: 1000000000"], None),
        ([f"{REMAINING}: -1"], None),
        ([f"{REMAINING}: 1.5"], None),
        ([f"{REMAINING}: 1_000"], None),
        ([f"{REMAINING}: \xb2"], None),
        ([f"{REMAINING}:"], None),
        ([f"{REMAINING}: 1249, 7"], None),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
async def test_what_is_left_of_the_burst_is_read_where_it_is_a_count(
    status: int, headers: list[str], remaining: int | None
) -> None:
    until = asyncio.get_running_loop().time() + 3.0
    async with raw_server(says(http(status, *headers, body=b"x"))) as url, Session() as session:
        request = HttpRequest(method="POST", url=URL(url), headers={}, body=b"{}")
        response = await exchange(session, request, Departure(), until=until, most_bytes=9)
    assert isinstance(response, Response)
    assert response.remaining_writes == remaining
