"""Fetching the answer that a 202 promised at its Location."""

import asyncio
from typing import Final

from worker.core.outcome import FlowOutcome, Indeterminate, Running, lost_sight_of
from worker.core.response import Ended, NoAnswer, judge_poll
from worker.core.retry import next_poll_s
from worker.flow.exchange import Departure, HttpRequest, exchange
from worker.flow.line import Line
from worker.flow.locations import locate, may_follow

POLL_TIMEOUT_S: Final = 30.0


class AnswerFetch:
    """Trouble on the way never starts a new run."""

    def __init__(self, running: Running, line: Line, *, until: float) -> None:
        self._running = running
        self._line = line
        self._until = until

    async def run(self) -> FlowOutcome:
        """The flow's own answer, or that it did not come by `until` on the loop's clock."""
        running, line, until = self._running, self._line, self._until
        url = locate(line.url, running.location)
        retry_after_s = running.retry_after_s
        polls = 0
        while True:
            if url is None or not may_follow(url, line.url, line.flow.polling_hosts):
                host = "something that is no URL" if url is None else url.authority
                why = f"its answer lies at {host}, which is neither the flow's own host nor in polling_hosts"
                return lost_sight_of(running, why)
            delay_s = next_poll_s(polls, retry_after_s=retry_after_s, remaining_s=until - _now())
            if delay_s is None:
                return lost_sight_of(running, "its answer did not come in time")
            await asyncio.sleep(delay_s)
            polls += 1
            response = await exchange(
                line.session,
                HttpRequest(method="GET", url=url, headers=await line.poll_headers(url, until)),
                Departure(),
                until=min(until, _now() + POLL_TIMEOUT_S),
                most_bytes=line.flow.max_response_bytes,
            )
            if isinstance(response, NoAnswer):
                retry_after_s = None
                continue
            result = judge_poll(response, running)
            if isinstance(result, Ended):
                return result.outcome
            retry_after_s = result.retry_after_s
            if result.location is not None:
                url = locate(url, result.location)

    def cut_short(self, why: str) -> Indeterminate:
        return lost_sight_of(self._running, why)


def _now() -> float:
    return asyncio.get_running_loop().time()
