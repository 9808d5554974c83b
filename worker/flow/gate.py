"""What stands before one flow: its circuit, its slots, its rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from worker.core.breaker import Breaker, Circuit, OpenUntil, Permit
from worker.core.flow_spec import FlowSpec
from worker.core.limiter import RateLimiter
from worker.core.response import Sign


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpen:
    reopens_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeUp:
    """No turn before the deadline."""

    why: str


KeptOut: TypeAlias = CircuitOpen | TimeUp


class Gate:
    def __init__(self, flow: FlowSpec) -> None:
        self._breaker = Breaker(flow.breaker)
        self._open_s = flow.breaker.open_s
        self._limiter = RateLimiter(flow.rate_per_s)
        self._slots = asyncio.Semaphore(flow.concurrency)
        self._probe_ended = asyncio.Event()  # pulsed
        self.in_flight = 0

    def circuit(self) -> Circuit:
        return self._breaker.circuit(_now())

    def reopens_in_s(self) -> float | None:
        now = _now()
        reopens_at = self._breaker.reopens_at(now)
        return None if reopens_at is None else reopens_at - now

    @asynccontextmanager
    async def entered(self, deadline: float | None) -> AsyncIterator[Permit | KeptOut]:
        """A slot and a permit for the scope; the permit goes back where nothing was recorded.

        Waits as long as the deadline allows; without one, for a slot and the rate but never for the circuit.
        """
        admission = await self._enter(deadline)
        if not isinstance(admission, Permit):
            yield admission
            return
        self.in_flight += 1
        try:
            yield admission
        finally:
            self.in_flight -= 1
            self._slots.release()
            self._breaker.give_back(admission)
            self._pulse()

    def record(self, permit: Permit, sign: Sign, *, took_s: float) -> None:
        self._breaker.record(permit, sign, took_s=took_s, now=_now())
        self._pulse()

    async def _enter(self, deadline: float | None) -> Permit | KeptOut:
        while True:
            closed = await self._circuit_allows(deadline)
            if closed is not None:
                return closed
            if not await self._slot(deadline):
                return TimeUp(why="The deadline passed while all of the flow's slots were taken.")
            permit: Permit | None = None
            try:
                start = self._limiter.reserve(_now(), until=deadline)
                if start is None:
                    return TimeUp(why="Other calls hold every start that rate_per_s leaves before the deadline.")
                if start > _now():
                    await asyncio.sleep(start - _now())
                admission = self._breaker.admit(_now())
                if isinstance(admission, Permit):
                    permit = admission
                    return permit
            finally:
                if permit is None:
                    self._slots.release()

    async def _slot(self, deadline: float | None) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()  # returns at once, and costs no timer
        try:
            async with asyncio.timeout_at(deadline):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _circuit_allows(self, deadline: float | None) -> CircuitOpen | None:
        """Callers whose deadline falls before the circuit closes are told at once; a probe's end is waited for."""
        while (refusal := self._breaker.refusal(_now())) is not None:
            now = _now()
            if isinstance(refusal, OpenUntil):
                if deadline is None or refusal.at >= deadline:
                    return CircuitOpen(reopens_in_s=refusal.at - now)
                await asyncio.sleep(refusal.at - now)
                continue
            if deadline is None:
                return CircuitOpen(reopens_in_s=self._open_s)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._probe_ended.wait()
            except TimeoutError:
                return CircuitOpen(reopens_in_s=self._open_s)
        return None

    def _pulse(self) -> None:
        self._probe_ended.set()
        self._probe_ended.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
