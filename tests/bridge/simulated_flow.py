"""The flows of a simulation, as a worker's calls reach them: each request brings along what becomes of its calls."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.core.attempt import Attempt as Tried
from worker.core.outcome import (
    Answered,
    Expired,
    FlowOutcome,
    Indeterminate,
    NoRetry,
    Running,
    Unavailable,
    lost_sight_of,
)
from worker.core.request import Call
from worker.core.verdict import kind_of

from .fake_queue import now
from .ledger import Attempt, Entry
from .transcript import Saw
from .world import ANSWERED

if TYPE_CHECKING:
    from .simulated_worker import SimulatedWorker


class SimulatedCall:
    """In line first, then one request that takes its time. Its deadline ends it."""

    def __init__(self, worker: "SimulatedWorker", call: Call, entry: Entry) -> None:
        self._worker = worker
        self._call = call
        self._entry = entry
        self.tries: list[Tried] = []
        self.no_retry: NoRetry | None = None

    async def run(self) -> FlowOutcome | Running:
        entry, deadline = self._entry, self._call.deadline
        held, began = self._worker.held_by_one(entry), now()
        if held is not None and self._worker.simulation.is_ordered:
            self._worker.check_try(held)
        try:
            if entry.ask.in_line_s:
                self._tell(Saw.IN_LINE, self._worker)
                if deadline is not None and now() + entry.ask.in_line_s >= deadline:
                    await asyncio.sleep(deadline - now())
                    return Expired(detail="Its turn did not come in time.")
                await asyncio.sleep(entry.ask.in_line_s)
            return await self._request(deadline)
        finally:
            if held is not None:
                held.called_s, held.tried_at = held.called_s + now() - began, now()
            self._worker.stir()

    async def _request(self, deadline: float | None) -> FlowOutcome | Running:
        entry, worker = self._entry, self._worker
        worker.require_life()
        self.tries.append(Tried(began_at=now()))
        held = [held.delivery for held in worker.held_of(entry)]
        endings, nth = entry.ask.endings, len(entry.attempts)
        ending = endings[min(nth, len(endings) - 1)]
        self._tell(Saw.CALLED, worker, nth + 1)
        attempt = worker.simulation.ledger.begins(entry, worker, held)
        began = now()
        ends_at = began + entry.ask.takes_s
        if deadline is not None and deadline < ends_at:
            ends_at, ending = deadline, Indeterminate(detail="The time was up.", attempts=1)
        try:
            await asyncio.sleep(ends_at - began)
        except asyncio.CancelledError:
            if not worker.is_dead:
                self._tell(Saw.CALL_CUT, worker)
                worker.check_cut(entry)
            raise
        worker.require_life()
        worker.check_lock(entry, began=began, ended=ends_at)
        return self._end(ending, attempt)

    def _end(self, ending: FlowOutcome | Running | Exception, attempt: Attempt) -> FlowOutcome | Running:
        entry = self._entry
        if isinstance(ending, Exception):
            self._worker.fails_on(entry)
            raise ending
        held = self._worker.held_by_one(entry)
        if held is not None and not (isinstance(ending, Unavailable) and ending.held_back):
            held.tries += 1
        self._tell(Saw.FLOW_ENDED, "accepted" if isinstance(ending, Running) else kind_of(ending).value)
        if isinstance(ending, Unavailable | Expired):
            attempt.may_have_run = False
        if isinstance(ending, Answered):
            entry.is_answered = True
        return replace(ending, run_id=entry.name) if isinstance(ending, Running) else ending

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        if self.tries:
            return Indeterminate(detail=why, attempts=1)
        return Unavailable(detail=why, attempts=0)

    def _tell(self, saw: Saw, *facts: object) -> None:
        self._worker.simulation.tell(saw, self._call.flow.name, self._entry.name, *facts, by=self._worker)


class SimulatedFetch:
    """The answer of a run is there as long after the first question as its call took."""

    def __init__(
        self, worker: "SimulatedWorker", running: Running, entry: Entry, until: float, *, is_last: bool
    ) -> None:
        self._worker = worker
        self._running = running
        self._entry = entry
        self._until = until
        self._is_last = is_last

    async def run(self) -> FlowOutcome | Running:
        worker, entry = self._worker, self._entry
        worker.require_life()
        if not entry.may_have_run():
            worker.simulation.breaks(f"no answer is fetched of what never ran; {worker} does for {entry.name}")
        began = now()
        ends_at = min(began + entry.ask.takes_s, self._until)
        try:
            await asyncio.sleep(max(0.0, ends_at - began))
        finally:
            if (held := worker.held_by_one(entry)) is not None:
                held.called_s += now() - began
            worker.stir()
        if ends_at >= self._until:
            self._tell("not there yet")
            return self.cut_short("its answer did not come in time") if self._is_last else self._running
        entry.is_answered = True
        self._tell("answered")
        return ANSWERED

    def cut_short(self, why: str) -> Indeterminate:
        return lost_sight_of(self._running, why)

    def _tell(self, what: str) -> None:
        self._worker.simulation.tell(Saw.FETCHED, self._worker, self._entry.name, what, by=self._worker)
