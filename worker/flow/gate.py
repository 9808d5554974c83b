"""What stands before one flow: its circuit, its slots, its rate, and what it may be asked for beyond first calls."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

import structlog

from worker.core.adaptive import AdaptiveLimit, strain_of
from worker.core.answer_times import AnswerTimes
from worker.core.breaker import Breaker, Circuit, Isolated, OpenUntil, Permit, ProbeUnderWay
from worker.core.budget import Budget
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Running
from worker.core.response import AttemptResult, Sign, is_own_answer
from worker.core.retry import LEAST_ATTEMPT_S
from worker.flow.starts import Starts
from worker.flow.turnstile import Turnstile

RETRIES_OF_CALLS: Final = 0.2
HEDGES_OF_CALLS: Final = 0.05

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpen:
    reopens_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeUp:
    """No turn before the deadline."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoStart:
    """The flow's rate leaves none before the deadline."""

    starts_in_s: float


KeptOut: TypeAlias = CircuitOpen | TimeUp | NoStart


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """`limit`: how many calls may be in flight now; `most` and `rate_per_s`: this worker's share of what is set."""

    circuit: Circuit
    openings: int
    reopens_in_s: float | None
    in_flight: int
    waiting: int
    limit: int
    most: int
    rate_per_s: float
    fastest_decile_s: float | None


class Gate:
    """Of one loop."""

    def __init__(self, flow: FlowSpec) -> None:
        self._flow = flow
        self._now = asyncio.get_running_loop().time
        self._workers = 1
        self._breaker = Breaker(flow.breaker)
        self._limit = AdaptiveLimit(flow.concurrency)
        self._turnstile = Turnstile(lambda: self._limit.limit)
        self._starts = Starts(flow.rate_per_s)
        self._retries = Budget(ratio=RETRIES_OF_CALLS, reserve_per_s=1.0, most=10.0)
        self._hedges = Budget(ratio=HEDGES_OF_CALLS, reserve_per_s=0.0, most=5.0)
        self._answer_times = AnswerTimes()
        self._moved = asyncio.Event()  # pulsed
        self._openings_told = 0
        self._is_told_open = False

    def facts(self) -> GateFacts:
        now = self._now()
        reopens_at = self._breaker.reopens_at(now)
        return GateFacts(
            circuit=self._breaker.circuit(now),
            openings=self._breaker.openings,
            reopens_in_s=None if reopens_at is None else reopens_at - now,
            in_flight=self._turnstile.inside,
            waiting=self._turnstile.waiting,
            limit=self._limit.limit,
            most=self._most,
            rate_per_s=self._flow.rate_per_s / self._workers,
            fastest_decile_s=self._answer_times.fastest_decile_s(now),
        )

    def enter_at_once(self, now: float) -> Permit | None:
        """A slot and a permit, to be left by `leave`; None where something has to be waited for."""
        if not self._turnstile.enter_at_once():
            return None
        admission = self._breaker.admit(now)
        if isinstance(admission, Permit):
            if self._starts.take_at_once(now):
                return admission
            self._breaker.give_back(admission)
        self._turnstile.leave()
        return None

    async def enter(self, deadline: float | None) -> Permit | KeptOut:
        """The same after a wait as long as the deadline allows; without one, never for the circuit."""
        while True:
            closed = await self._circuit_allows(deadline)
            if closed is not None:
                return closed
            if not await self._turnstile.enter(deadline):
                return TimeUp(why="The deadline passed while all of the flow's slots were taken.")
            permit: Permit | None = None
            try:
                if not await self._starts.take(deadline):
                    return NoStart(starts_in_s=self._starts.next_in_s())
                admission = self._breaker.admit(self._now())
                if isinstance(admission, Permit):
                    permit = admission
                    return permit
            finally:
                if permit is None:
                    self._turnstile.leave()

    def enter_to_hedge(self) -> Permit | None:
        """Only while the circuit is closed and the budget allows it."""
        now = self._now()
        if self._breaker.circuit(now) is not Circuit.CLOSED or not self._turnstile.enter_at_once():
            return None
        if self._hedges.withdraw(now) and self._starts.take_at_once(now):
            admission = self._breaker.admit(now)
            if isinstance(admission, Permit):
                return admission
        self._turnstile.leave()
        return None

    def leave(self, permit: Permit) -> None:
        """The permit goes back where nothing was recorded."""
        self._turnstile.leave()
        self._breaker.give_back(permit)
        self._pulse()

    def record(
        self, permit: Permit, result: AttemptResult, *, started_at: float, remaining_writes: int | None = None
    ) -> None:
        now = self._now()
        took_s = now - started_at
        sign = Sign.ALIVE if isinstance(result, Running) else result.sign
        self._breaker.record(permit, sign, took_s=took_s, now=now)
        if self._is_told_open or self._breaker.openings != self._openings_told:
            self._tell_circuit(now)
        in_flight = self._turnstile.inside
        self._limit.ended(strain_of(result), started_at=started_at, took_s=took_s, in_flight=in_flight, now=now)
        self._turnstile.admit()
        if remaining_writes is not None:
            self._starts.note(remaining_writes, now)
        if is_own_answer(result):
            self._answer_times.add(took_s, now)
        self._pulse()

    def count_first_attempt(self) -> None:
        self._retries.deposit()
        self._hedges.deposit()

    def may_repeat(self) -> bool:
        """Whether the flow's budget has one more attempt for a call that failed; it is spent by asking."""
        return self._retries.withdraw(self._now())

    def has_chance(self, remaining_s: float, now: float) -> bool:
        """Whether a call with so much time left may end in time."""
        return self._answer_times.has_chance(remaining_s, now)

    def lets_through(self) -> bool:
        """Whether a call without a chance is made all the same; to be asked once for each."""
        return self._answer_times.lets_through()

    def least_attempt_s(self) -> float:
        return max(LEAST_ATTEMPT_S, self._answer_times.fastest_decile_s(self._now()) or 0.0)

    def set_workers(self, workers: int) -> None:
        """How many share what the flow takes."""
        self._workers = workers
        self._limit.set_cap(self._most)
        self._starts.set_share(workers)
        self._turnstile.admit()

    def isolate(self) -> None:
        self._breaker.isolate()
        self._pulse()

    def reset(self) -> None:
        self._breaker.reset()
        self._pulse()

    @property
    def takes_more(self) -> bool:
        """Whether nothing but the number of workers bounds the calls of this flow."""
        return (
            self._breaker.circuit(self._now()) is Circuit.CLOSED
            and self._turnstile.waiting == 0
            and self._turnstile.inside < self._limit.limit >= self._most
        )

    @property
    def _most(self) -> int:
        return max(1, self._flow.concurrency // self._workers)

    async def _circuit_allows(self, deadline: float | None) -> CircuitOpen | None:
        """Callers whose deadline falls before the circuit closes are told at once; a probe's end is waited for."""
        while (refusal := self._breaker.refusal(self._now())) is not None:
            now, open_s = self._now(), self._flow.breaker.open_s
            match refusal:
                case OpenUntil(at=at):
                    told, ends = CircuitOpen(reopens_in_s=at - now), at
                    is_soon_enough = deadline is not None and at + self.least_attempt_s() < deadline
                case ProbeUnderWay():
                    told, ends = CircuitOpen(reopens_in_s=open_s), deadline or now
                    is_soon_enough = now < ends
                case Isolated():
                    return CircuitOpen(reopens_in_s=open_s)
                case _:
                    assert_never(refusal)
            if not is_soon_enough:
                return told
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ends):
                    await self._moved.wait()
        return None

    def _tell_circuit(self, now: float) -> None:
        """Each opening, and the end of the last."""
        reopens_at = self._breaker.reopens_at(now)
        if self._breaker.openings != self._openings_told:
            self._openings_told, self._is_told_open = self._breaker.openings, True
            reopens_in_s = None if reopens_at is None else round(reopens_at - now, 2)
            _log.warning("circuit_opened", flow=self._flow.name, reopens_in_s=reopens_in_s)
        elif self._breaker.circuit(now) is Circuit.CLOSED:
            self._is_told_open = False
            _log.info("circuit_closed", flow=self._flow.name)

    def _pulse(self) -> None:
        self._moved.set()
        self._moved.clear()
