"""One call of one flow: gate → token → attempt, again where that is safe, until there is an outcome."""

import asyncio
import math
import random
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

import aiohttp
from azure.core.credentials import AccessToken
from tenacity import AsyncRetrying, RetryCallState, retry_if_result
from yarl import URL

from worker.core.breaker import Permit
from worker.core.outcome import Expired, FlowOutcome, Indeterminate, Unavailable
from worker.core.request import Call
from worker.core.response import Accepted, Again, Ended, NoAnswer, Sign, judge_response, judge_silence
from worker.core.retry import LEAST_ATTEMPT_S, next_delay_s
from worker.flow.exchange import Departure, HttpRequest, exchange
from worker.flow.gate import CircuitOpen, Gate, KeptOut, TimeUp
from worker.flow.headers import call_headers
from worker.flow.polling import is_same_origin, is_signed, poll
from worker.flow.token import NoToken


class TokenSource(Protocol):
    """Both coroutines raise `NoToken`."""

    def held_token(self, scope: str) -> AccessToken | None: ...

    async def get_token(self, *scopes: str) -> AccessToken: ...

    async def renewed_token(self, scope: str, *, stale: str) -> AccessToken: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the calls of one flow share. `takes_token`: a signed URL refuses one."""

    url: URL
    takes_token: bool
    session: aiohttp.ClientSession
    gate: Gate
    tokens: TokenSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotSent:
    """The gate or the lack of a token kept the flow from being called."""

    outcome: Unavailable | Expired
    again: Again


class FlowCall:
    """`attempts` counts the requests made so far."""

    def __init__(self, call: Call, line: Line) -> None:
        self._call = call
        self._flow = call.flow
        self._line = line
        self._headers = call_headers(call)
        self._departure = Departure()
        self._doubt: Indeterminate | None = None  # what is known of an attempt that may have run
        self.attempts = 0

    async def run(self) -> FlowOutcome:
        """Every attempt that the call's deadline and the flow's limits allow. Raises nothing but cancellation."""
        last = await self._try()
        if self._may_repeat(last):
            last = await self._repeat(last)
        if self._doubt is not None and isinstance(last.outcome, Unavailable | Expired):
            return replace(self._doubt, attempts=self.attempts)
        return last.outcome

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        """What is known after `run` was cancelled."""
        if self._doubt is not None:
            return replace(self._doubt, detail=why, attempts=self.attempts)
        if self._departure.was_sent:
            return Indeterminate(detail=why, attempts=self.attempts)
        return Unavailable(detail=why, attempts=self.attempts)

    async def _repeat(self, last: Ended | _NotSent) -> Ended | _NotSent:
        """Enters tenacity with the first failure in hand: calls that succeed at once don't pay for it."""
        async for attempt in AsyncRetrying(
            retry=retry_if_result(self._may_repeat),
            wait=self._wait_s,
            stop=lambda state: math.isinf(state.upcoming_sleep),
            retry_error_callback=lambda state: state.outcome,
        ):
            if attempt.retry_state.attempt_number > 1:
                result = await self._try()
                if isinstance(result.outcome, Expired):  # never sent: the attempt before says more
                    break
                last = result
            attempt.retry_state.set_result(last)
        return last

    def _may_repeat(self, last: Ended | _NotSent) -> bool:
        return last.again is Again.SAFELY or (last.again is Again.IF_IDEMPOTENT and self._flow.idempotent)

    def _wait_s(self, state: RetryCallState) -> float:
        """Infinite where the next attempt isn't worth starting."""
        outcome = None if state.outcome is None else state.outcome.result().outcome
        deadline = self._call.deadline
        delay_s = next_delay_s(
            self._flow.retry,
            state.attempt_number,
            retry_after_s=outcome.retry_after_s if isinstance(outcome, Unavailable) else None,
            remaining_s=None if deadline is None else deadline - _now(),
            draw=random.random(),  # noqa: S311 - jitter
        )
        return math.inf if delay_s is None else delay_s

    async def _try(self) -> Ended | _NotSent:
        async with self._line.gate.entered(self._call.deadline) as admission:
            if not isinstance(admission, Permit):
                return self._kept_out(admission)
            try:
                token = await self._token()
                result = await self._attempt(admission, token)
                if isinstance(result, Ended) and result.again is Again.ONCE_WITH_A_FRESH_TOKEN and token is not None:
                    second = await self._attempt(admission, await self._token(stale=token))
                    result = second if isinstance(second, Ended) else result
            except NoToken as failure:
                unavailable = Unavailable(detail=str(failure), attempts=self.attempts)
                return _NotSent(outcome=unavailable, again=Again.SAFELY)
            return result

    async def _attempt(self, permit: Permit, token: str | None) -> Ended | _NotSent:
        started_at = _now()
        deadline = self._call.deadline
        until = (
            started_at + self._flow.timeout_s if deadline is None else min(deadline, started_at + self._flow.timeout_s)
        )
        if deadline is not None and deadline - started_at < LEAST_ATTEMPT_S:
            return self._too_late("Too little time was left before the flow was called.")
        self.attempts += 1
        self._departure = Departure()
        response = await exchange(
            self._line.session,
            HttpRequest(
                method=self._flow.method,
                url=self._line.url,
                headers=self._headers if token is None else {**self._headers, "Authorization": f"Bearer {token}"},
                body=self._call.body,
            ),
            self._departure,
            until=until,
            most_bytes=self._flow.max_response_bytes,
        )
        result = (
            judge_silence(response, attempts=self.attempts)
            if isinstance(response, NoAnswer)
            else judge_response(response, attempts=self.attempts)
        )
        took_s = _now() - started_at
        if isinstance(result, Accepted):
            self._line.gate.record(permit, Sign.ALIVE, took_s=took_s)
            return await self._fetch_answer(result)
        self._line.gate.record(permit, result.sign, took_s=took_s)
        if isinstance(result.outcome, Indeterminate):
            self._doubt = result.outcome
        else:
            self._departure = Departure()
        return result

    async def _fetch_answer(self, accepted: Accepted) -> Ended:
        self._doubt = Indeterminate(
            detail="The flow runs; its answer was still awaited.",
            attempts=self.attempts,
            http_status=202,
            run_id=accepted.run_id,
        )
        # Nobody waits for a one-way request's answer: it holds its slot no longer than an attempt may.
        until = _now() + self._flow.timeout_s if self._call.deadline is None else self._call.deadline
        return await poll(
            self._line.session, self._flow, accepted, self._authorization, until=until, attempts=self.attempts
        )

    async def _token(self, *, stale: str | None = None) -> str | None:
        """None where the flow takes none. `stale`: one that the flow didn't accept. Raises `NoToken`."""
        if not self._line.takes_token:
            return None
        tokens, scope = self._line.tokens, self._flow.scope
        held = tokens.held_token(scope)
        if held is not None and held.token != stale:
            return held.token
        try:
            async with asyncio.timeout_at(self._call.deadline):
                token = await (tokens.get_token(scope) if stale is None else tokens.renewed_token(scope, stale=stale))
        except TimeoutError as error:
            raise NoToken(f"No token for {scope} before the request's deadline.") from error
        return token.token

    async def _authorization(self, url: URL) -> dict[str, str]:
        """For a poll, which simply comes back unauthorized where no token can be had."""
        if is_signed(url) or not is_same_origin(url, self._line.url):
            return {}
        try:
            token = await self._token()
        except NoToken:
            return {}
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def _kept_out(self, admission: KeptOut) -> Ended | _NotSent:
        match admission:
            case TimeUp():
                return self._too_late(admission.why)
            case CircuitOpen():
                unavailable = Unavailable(
                    detail=f"The circuit of flow {self._flow.name} is open after failures; it was not called.",
                    attempts=self.attempts,
                    retry_after_s=admission.reopens_in_s,
                    circuit_open=True,
                )
                return _NotSent(outcome=unavailable, again=Again.NEVER)
        assert_never(admission)

    def _too_late(self, why: str) -> _NotSent:
        return _NotSent(outcome=Expired(detail=why, attempts=self.attempts), again=Again.NEVER)


def _now() -> float:
    return asyncio.get_running_loop().time()
