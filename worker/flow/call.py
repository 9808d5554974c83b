"""One call of one flow: gate → token → attempt, again where that is safe, until there is an outcome."""

import asyncio
import math
import random
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never

from tenacity import AsyncRetrying, RetryCallState, retry_if_result
from yarl import URL

from worker.core.attempt import Attempt
from worker.core.breaker import Permit
from worker.core.outcome import Expired, FlowOutcome, HeldBack, Indeterminate, NoRetry, Running, Unavailable
from worker.core.request import Call
from worker.core.response import Again, AttemptResult, Ended, NoAnswer, is_own_answer, judge_response, judge_silence
from worker.core.retry import LEAST_ATTEMPT_S, next_delay_s, next_poll_s, why_no_delay
from worker.core.trace import attempt_part
from worker.flow.exchange import Departure, HttpRequest, exchange
from worker.flow.gate import CircuitOpen, KeptOut, NoStart, TimeUp
from worker.flow.headers import call_headers
from worker.flow.line import Line, bearer
from worker.flow.locations import locate, with_query
from worker.flow.token import NoToken

TOO_LITTLE_TIME: Final = "TooLittleTimeLeft"
WITHOUT_TOKEN_S: Final = 10.0  # a request that found no token comes back after this: an endpoint is asked every 5 s
_NOT_AGAIN: Final = {
    NoRetry.BUDGET_SPENT: "too many calls failed of late",
    NoRetry.CIRCUIT: "its circuit is open",
    NoRetry.PLACE: "other calls hold every start that its rate leaves before the deadline",
    NoRetry.TOKEN: "there was no token to call it with",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotSent:
    """The flow was not called, and why; `no_retry` says that of one that had been called before."""

    outcome: Unavailable | Expired
    again: Again
    no_retry: NoRetry = NoRetry.NO_TIME


_Result: TypeAlias = AttemptResult | _NotSent


class FlowCall:
    """`tries`: the requests made so far; `no_retry`: why there is none after them, once it has ended without answer."""

    def __init__(self, call: Call, line: Line) -> None:
        self._call = call
        self._flow = call.flow
        self._line = line
        self._gate = line.gate
        self._now = line.now
        self._headers = call_headers(call)
        self._departures: list[Departure] = []  # of attempts that are under way, or that nothing is known of
        self._doubt: Indeterminate | None = None  # what is known of an attempt that may have run
        self._is_let_through = False
        self.no_retry: NoRetry | None = None
        self.tries: list[Attempt] = []

    @property
    def attempts(self) -> int:
        return len(self.tries)

    async def run(self) -> FlowOutcome | Running:
        """Every attempt that the call's deadline and the flow's limits allow. Raises nothing but cancellation."""
        now = self._now()
        last = self._too_little_time(now) or await self._try(now)
        if self._may_repeat(last):
            last = await self._repeat(last)
        if isinstance(last, Running):
            return last
        outcome = last.outcome
        if last.again is Again.IF_IDEMPOTENT and not self._flow.idempotent:
            self.no_retry = NoRetry.NOT_IDEMPOTENT
        if self._doubt is not None and isinstance(outcome, Unavailable | Expired):
            return replace(self._doubt, attempts=self.attempts)
        why = None if self.no_retry is None else _NOT_AGAIN.get(self.no_retry)
        if why is not None and isinstance(outcome, Unavailable | Indeterminate):
            return replace(outcome, detail=f"{outcome.detail} It was not called again: {why}.")
        return outcome

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        """What is known after `run` was cancelled."""
        if self._doubt is not None:
            return replace(self._doubt, detail=why, attempts=self.attempts)
        if any(departure.was_sent for departure in self._departures):
            return Indeterminate(detail=why, attempts=self.attempts)
        return Unavailable(detail=why, attempts=self.attempts)

    async def _repeat(self, last: _Result) -> _Result:
        """Enters tenacity with the first failure in hand: calls that succeed at once don't pay for it."""
        async for attempt in AsyncRetrying(
            retry=retry_if_result(self._may_repeat),
            wait=self._wait_s,
            stop=lambda state: math.isinf(state.upcoming_sleep),
            retry_error_callback=lambda state: state.outcome,
        ):
            if attempt.retry_state.attempt_number > 1:
                result = await self._try(self._now())
                if isinstance(result, _NotSent) and self.attempts:
                    self.no_retry = result.no_retry
                    if isinstance(result.outcome, Expired):
                        break  # the attempt before says more
                    result = _kept_out_after(last, result)
                last = result
            attempt.retry_state.set_result(last)
        return last

    def _may_repeat(self, last: _Result) -> bool:
        if isinstance(last, Running):
            return False
        return last.again is Again.SAFELY or (last.again is Again.IF_IDEMPOTENT and self._flow.idempotent)

    def _wait_s(self, state: RetryCallState) -> float:
        """Infinite where the next attempt isn't worth starting, or the flow has had its share of them."""
        last: _Result | None = None if state.outcome is None else state.outcome.result()
        outcome = None if last is None or isinstance(last, Running) else last.outcome
        deadline, retry = self._call.deadline, self._call.retry
        remaining_s = None if deadline is None else deadline - self._now()
        delay_s = next_delay_s(
            retry,
            state.attempt_number,
            retry_after_s=outcome.retry_after_s if isinstance(outcome, Unavailable) else None,
            remaining_s=remaining_s,
            draw=random.random(),  # noqa: S311 - jitter
            least_s=LEAST_ATTEMPT_S if self._is_let_through else self._gate.least_attempt_s(),
        )
        if delay_s is not None and (isinstance(last, _NotSent) or self._gate.may_repeat()):
            self.no_retry = None
            return delay_s
        if not isinstance(last, _NotSent):  # else it stays what kept it out
            spent = why_no_delay(retry, state.attempt_number, remaining_s=remaining_s) if delay_s is None else None
            self.no_retry = spent or NoRetry.BUDGET_SPENT
        return math.inf

    async def _try(self, now: float) -> _Result:
        admission = self._gate.enter_at_once(now) or await self._gate.enter(self._call.deadline)
        if not isinstance(admission, Permit):
            return self._kept_out(admission)
        try:
            token = await self._line.token(self._call.deadline)
            result = await self._attempt(admission, token)
            if isinstance(result, Ended) and result.again is Again.ONCE_WITH_A_FRESH_TOKEN and token is not None:
                second = await self._attempt(admission, await self._line.token(self._call.deadline, stale=token))
                result = result if isinstance(second, _NotSent) else second
        except NoToken as failure:
            unavailable = Unavailable(
                detail=str(failure),
                attempts=self.attempts,
                retry_after_s=WITHOUT_TOKEN_S,
                held_back=None if self.attempts else HeldBack.TOKEN,
            )
            return _NotSent(outcome=unavailable, again=Again.SAFELY, no_retry=NoRetry.TOKEN)
        finally:
            self._gate.leave(admission)
        return result

    async def _attempt(self, permit: Permit, token: str | None) -> _Result:
        """One request; a second beside it where the flow is slow to answer and hedges."""
        now = self._now()
        too_late = self._too_little_time(now)
        if too_late is not None:
            return too_late
        if self.attempts == 0:
            self._gate.count_first_attempt()
        if self._flow.hedge_after_s == 0:
            return await self._send(permit, token, now)
        return await self._hedged(permit, token, now)

    async def _hedged(self, permit: Permit, token: str | None, now: float) -> _Result:
        """The first answer of the flow's own wins, and the other request is given up."""
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(self._send(permit, token, now))
            await asyncio.wait({first}, timeout=self._flow.hedge_after_s)
            if first.done():
                return first.result()
            second_permit = self._gate.enter_to_hedge()
            if second_permit is None:
                return await first
            try:
                second = tasks.create_task(self._send(second_permit, token, self._now()))
                await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
                sooner, later = (first, second) if first.done() else (second, first)
                result = sooner.result()
                if isinstance(result, Running):  # it can't be asked for its answer any sooner
                    await asyncio.wait({later}, timeout=next_poll_s(0, retry_after_s=result.retry_after_s))
                if is_own_answer(result) or (isinstance(result, Running) and not later.done()):
                    later.cancel()
                    await asyncio.wait({later})
                    return result
                other = await later
                return other if _is_better(other, than=result) else result
            finally:
                self._gate.leave(second_permit)

    async def _send(self, permit: Permit, token: str | None, started_at: float) -> AttemptResult:
        deadline = self._call.deadline
        url = with_query(self._line.url, self._call.query)
        attempt = Attempt(began_at=started_at, number=self.attempts + 1)
        self.tries.append(attempt)
        departure = Departure()
        self._departures.append(departure)
        latest = started_at + self._flow.timeout_s
        response = await exchange(
            self._line.session,
            HttpRequest(
                method=self._flow.method,
                url=url,
                headers=self._headers_of(attempt, token),
                body=self._call.body,
            ),
            departure,
            until=latest if deadline is None else min(deadline, latest),
            most_bytes=self._flow.max_response_bytes,
        )
        if isinstance(response, NoAnswer):
            result: AttemptResult = judge_silence(response, attempts=self.attempts)
        else:
            result = judge_response(response, attempts=self.attempts)
        attempt.end(response, result, self._now())
        remaining_writes = None if isinstance(response, NoAnswer) else response.remaining_writes
        self._gate.record(permit, result, started_at=started_at, remaining_writes=remaining_writes)
        if isinstance(result, Running):
            result = self._located(result, url)
        if isinstance(result, Ended) and isinstance(result.outcome, Indeterminate):
            self._doubt = result.outcome
        else:  # not before: a defect of ours on the way here leaves the attempt in doubt
            self._departures.remove(departure)
        return result

    def _headers_of(self, attempt: Attempt, token: str | None) -> dict[str, str]:
        headers = self._headers if token is None else {**self._headers, **bearer(token)}
        if self._call.context is not None:
            headers = {**headers, **self._call.context.headers(attempt_part(attempt.number, attempt.began_at))}
        return headers

    def _located(self, running: Running, called: URL) -> Running:
        """Whole, because the flow may have moved when its answer is asked for."""
        url = locate(called, running.location)
        running = running if url is None else replace(running, location=str(url))
        self._line.note_location(running.location)
        return running

    def _too_little_time(self, now: float) -> _NotSent | None:
        deadline = self._call.deadline
        if deadline is None:
            return None
        remaining_s = deadline - now
        if remaining_s >= LEAST_ATTEMPT_S:
            if self._is_let_through or self._gate.has_chance(remaining_s, now):
                return None
            self._is_let_through = self._gate.lets_through()
            if self._is_let_through:
                return None
        why = "Too little time was left before the flow was called."
        return _NotSent(outcome=Expired(detail=why, code=TOO_LITTLE_TIME, attempts=self.attempts), again=Again.NEVER)

    def _kept_out(self, admission: KeptOut) -> _NotSent:
        match admission:
            case TimeUp():
                return _NotSent(outcome=Expired(detail=admission.why, attempts=self.attempts), again=Again.NEVER)
            case NoStart():
                unavailable = Unavailable(
                    detail=f"Other calls hold every start that the rate of flow {self._flow.name} leaves before the "
                    "deadline; it was not called.",
                    attempts=self.attempts,
                    retry_after_s=admission.starts_in_s,
                    held_back=None if self.attempts else HeldBack.PLACE,
                )
                return _NotSent(outcome=unavailable, again=Again.NEVER, no_retry=NoRetry.PLACE)
            case CircuitOpen():
                unavailable = Unavailable(
                    detail=f"The circuit of flow {self._flow.name} is open after failures; it was not called.",
                    attempts=self.attempts,
                    retry_after_s=admission.reopens_in_s,
                    held_back=None if self.attempts else HeldBack.CIRCUIT,
                )
                return _NotSent(outcome=unavailable, again=Again.NEVER, no_retry=NoRetry.CIRCUIT)
        assert_never(admission)


def _kept_out_after(last: _Result, kept_out: _NotSent) -> _NotSent:
    """What the attempt before brought says more than what kept the next one from being made; but for the time to wait.

    Where it is in doubt, it has the last word anyway.
    """
    if isinstance(last, Running) or not (
        isinstance(last.outcome, Unavailable) and isinstance(kept_out.outcome, Unavailable)
    ):
        return kept_out
    wait_s = max(last.outcome.retry_after_s or 0.0, kept_out.outcome.retry_after_s or 0.0)
    return replace(kept_out, outcome=replace(last.outcome, retry_after_s=wait_s or None))


def _is_better(result: AttemptResult, *, than: AttemptResult) -> bool:
    """An answer beats a promise, and that anything else: a trigger's refusal of one request says nothing of another."""
    return is_own_answer(result) or (isinstance(result, Running) and not isinstance(than, Running))
