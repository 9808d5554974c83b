"""Fetching the answer that a 202 promised at its Location."""

import asyncio
from dataclasses import replace
from typing import Final

from yarl import URL

from worker.core.outcome import FlowOutcome, Indeterminate, Running, lost_sight_of
from worker.core.response import Ended, NoAnswer, Response, judge_poll
from worker.core.retry import next_poll_s
from worker.flow.exchange import Departure, HttpRequest, exchange
from worker.flow.line import Line
from worker.flow.locations import locate

POLL_TIMEOUT_S: Final = 30.0


class AnswerFetch:
    """Trouble on the way never starts a new run. Times are on the loop's clock."""

    def __init__(self, running: Running, line: Line, *, until: float, stays_until: float) -> None:
        self._running = running
        self._line = line
        self._until = until
        self._stays_until = stays_until
        self._is_told = line.was_told(running.location)

    async def run(self) -> FlowOutcome | Running:
        """The flow's own answer, or that it did not come by `until`; or where to ask on, after `stays_until`."""
        running, until = self._running, self._until
        url = locate(self._line.url, running.location)
        retry_after_s = running.retry_after_s
        polls = 0
        while True:
            if url is None:
                return lost_sight_of(running, "its Location is no URL")
            if (why_not := self._why_not(url)) is not None:
                return lost_sight_of(running, why_not)
            delay_s = next_poll_s(polls, retry_after_s=retry_after_s, remaining_s=until - _now())
            if delay_s is None:
                return lost_sight_of(running, "its answer did not come in time")
            if polls and _now() + delay_s > self._stays_until:
                return replace(running, location=str(url), retry_after_s=delay_s)
            await asyncio.sleep(delay_s)
            polls += 1
            response = await self._ask(url)
            if isinstance(response, NoAnswer):
                retry_after_s = None
                continue
            result = judge_poll(response, running)
            if isinstance(result, Ended):
                return result.outcome
            retry_after_s = result.retry_after_s
            if result.location is not None:
                self._is_told, url = True, locate(url, result.location)

    def cut_short(self, why: str) -> Indeterminate:
        return lost_sight_of(self._running, why)

    def _why_not(self, url: URL) -> str | None:
        if self._line.is_trigger(url):
            return "its Location is the trigger itself, and asking there would start another run"
        if not self._line.may_follow(url):
            return f"its answer lies at {url.authority}, which is neither the flow's own host nor in polling_hosts"
        return None

    async def _ask(self, url: URL) -> Response | NoAnswer:
        headers = await self._line.poll_headers(url, self._until, is_told=self._is_told)
        return await exchange(
            self._line.session,
            HttpRequest(method="GET", url=url, headers=headers),
            Departure(),
            until=min(self._until, _now() + POLL_TIMEOUT_S),
            most_bytes=self._line.flow.max_response_bytes,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
