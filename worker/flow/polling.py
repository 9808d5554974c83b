"""Fetching the answer that a 202 promised at its Location."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from yarl import URL

from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Indeterminate
from worker.core.response import Accepted, Again, Ended, NoAnswer, Sign, judge_poll
from worker.core.retry import next_poll_s
from worker.flow.exchange import Departure, HttpRequest, exchange

POLL_TIMEOUT_S: Final = 30.0


async def poll(
    session: aiohttp.ClientSession,
    flow: FlowSpec,
    accepted: Accepted,
    bearer: Callable[[URL], Awaitable[dict[str, str]]],
    *,
    until: float,
    attempts: int,
) -> Ended:
    """`bearer` gives the headers that may authorize a GET of a URL. Trouble on the way never starts a new run."""
    origin = parse_url(flow.url)
    url = _locate(origin, accepted.location)
    retry_after_s = accepted.retry_after_s
    polls = 0
    while True:
        if url is None or not may_follow(url, origin, flow.polling_hosts):
            host = "something that is no URL" if url is None else url.authority
            return _given_up(
                accepted,
                attempts,
                f"its answer lies at {host}, which is neither the flow's own host nor in polling_hosts",
            )
        loop = asyncio.get_running_loop()
        delay_s = next_poll_s(polls, retry_after_s=retry_after_s, remaining_s=until - loop.time())
        if delay_s is None:
            return _given_up(accepted, attempts, "its answer did not come in time")
        await asyncio.sleep(delay_s)
        polls += 1
        response = await exchange(
            session,
            HttpRequest(method="GET", url=url, headers=await bearer(url)),
            Departure(),
            until=min(until, loop.time() + POLL_TIMEOUT_S),
            most_bytes=flow.max_response_bytes,
        )
        if isinstance(response, NoAnswer):
            retry_after_s = None
            continue
        result = judge_poll(response, accepted, attempts=attempts)
        if isinstance(result, Ended):
            return result
        retry_after_s = result.retry_after_s
        if result.location is not None:
            url = _locate(url, result.location)


def parse_url(text: str) -> URL:
    """A signature survives only where nothing is quoted anew."""
    return URL(text, encoded=text.isascii() and " " not in text)


def is_signed(url: URL) -> bool:
    return "sig" in url.query


def is_same_origin(url: URL, other: URL) -> bool:
    return (url.scheme, url.host, url.port) == (other.scheme, other.host, other.port)


def may_follow(url: URL, origin: URL, polling_hosts: tuple[str, ...]) -> bool:
    """A listed host may come with its port; a URL with a password is nobody's honest answer."""
    if url.user is not None or url.password is not None:
        return False
    if is_same_origin(url, origin):
        return True
    is_as_safe = url.scheme == "https" or url.scheme == origin.scheme == "http"
    listed = {host.lower() for host in polling_hosts}
    return is_as_safe and ((url.host or "").lower() in listed or url.authority.lower() in listed)


def _locate(current: URL, location: str) -> URL | None:
    try:
        url = current.join(parse_url(location))
    except ValueError:
        return None
    return url if url.host else None


def _given_up(accepted: Accepted, attempts: int, why: str) -> Ended:
    indeterminate = Indeterminate(
        detail=f"The flow runs and answered HTTP 202, but {why}.",
        attempts=attempts,
        http_status=202,
        run_id=accepted.run_id,
    )
    return Ended(outcome=indeterminate, again=Again.NEVER, sign=Sign.ALIVE)
