"""How a request comes by its outcome: from memory, from the run that an earlier delivery began, or from a call."""

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Final

import structlog

from worker.bridge.calling import Calling, call_of, fetch_until, may_have_run
from worker.bridge.copying import Copying
from worker.bridge.leash import CUTS_A_WAIT, CutReason, CutShort, Leash
from worker.bridge.places import Places
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.in_place import plan_wait
from worker.core.outcome import (
    FlowOutcome,
    HeldBack,
    Indeterminate,
    RequestOutcome,
    Running,
    Unavailable,
    lost_sight_of,
)
from worker.core.recall import Recall, Recalled
from worker.core.redelivery import NoFurtherTry, RedeliverySpec, is_replay
from worker.core.request import Call, Destination, Request, ReturnAddress
from worker.core.retry import LEAST_ATTEMPT_S, next_poll_s
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settlement
from worker.core.trace import TraceContext
from worker.core.verdict import TryLater, dead_letter, judge, undeliverable

_LOOKS_AGAIN_S: Final = 0.2

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a delivery turned out to ask for."""

    request: Request
    flow: FlowSpec
    destination: Destination
    deadline: float | None
    context: TraceContext | None


@dataclass(slots=True, kw_only=True, eq=False)
class Obtaining:
    """Fields after `redelivery` are what is known so far; `no_further_try` says why there is none."""

    delivery: Delivery
    leash: Leash
    recall: Recall
    places: Places
    calling: Calling
    copying: Copying
    redelivery: RedeliverySpec
    outcome: RequestOutcome | None = None
    is_recalled: bool = False
    no_further_try: NoFurtherTry | None = None

    async def obtain(self, errand: Errand) -> RequestOutcome | Settlement:
        """A settlement where nothing is left to say to anybody else."""
        if self.redelivery.is_in_place:
            return await self._in_place(errand)
        return await self._once(errand)

    async def _in_place(self, errand: Errand) -> RequestOutcome | Settlement:
        """As often as it may be tried again before its session goes on."""
        began, tries = _now(), errand.request.delivery_attempt
        while True:
            outcome = await self._once(replace(errand, request=replace(errand.request, delivery_attempt=tries)))
            if isinstance(outcome, Complete | DeadLetter | Abandon | LeaveLocked):
                return outcome
            then = judge(outcome, errand.destination, is_idempotent=errand.flow.idempotent).then
            if not isinstance(then, TryLater):
                return outcome
            now = _now()
            wait = plan_wait(
                then.outcome,
                self.delivery,
                self.redelivery,
                tries=tries,
                waited_s=now - began,
                deadline=errand.deadline,
                now=now,
                draw=random.random(),  # noqa: S311 - jitter
            )
            if isinstance(wait, NoFurtherTry):
                self.no_further_try = wait
                return outcome
            tries = wait.tries
            try:
                await self.leash.hold(asyncio.sleep(wait.delay_s), cut_by=CUTS_A_WAIT)
            except CutShort as cut:
                return LeaveLocked() if cut.reason is CutReason.LOCK_LOST else Abandon()

    async def _once(self, errand: Errand) -> RequestOutcome | Settlement:
        request, flow = errand.request, errand.flow
        self.calling.may_have_run = request.fetch is not None
        recalled = self.recall.look_up(self.delivery, now=_now())
        if recalled is not None and (settled := self._recall(recalled)) is not None:
            return settled
        if recalled is not None:
            known: Call | RequestOutcome | Running = recalled.outcome
        elif request.fetch is not None:
            known = request.fetch.running
        else:
            if not flow.idempotent and not is_replay(self.delivery) and self.recall.has_run(self.delivery):
                ended = await self._after_sibling(errand)
                if ended is not None:
                    return ended
            known = call_of(request, self.delivery, flow, deadline=errand.deadline, context=errand.context, now=_now())
        if not isinstance(known, Call | Running):
            return known
        turn_in_s, entered_at = await self.places.enter(flow.name), _now()
        try:
            if isinstance(known, Call):
                if turn_in_s is not None:
                    return _no_place(flow, turn_in_s)
                outcome = await self.calling.call(known)
                if not isinstance(outcome, Running):
                    return outcome
                known = outcome
            return await self._follow(known, errand, turn_in_s=turn_in_s)
        finally:
            if turn_in_s is None:
                self.places.leave(flow.name, entered_at=entered_at)

    async def _after_sibling(self, errand: Errand) -> Indeterminate | Settlement | None:
        """Both the first message and a copy of it came here, or somebody sent it again as it was.

        The one that called the flow tells the caller, unless it was left without an end. Until that is clear neither
        goes: a second copy would have the same id as one that went, and be dropped as a duplicate. None: call it.
        """
        _log.warning("called_for_another_copy", request_id=errand.request.request_id)
        has_waited = self.recall.is_under_way(self.delivery)
        try:
            while self.recall.is_under_way(self.delivery):
                await self.leash.hold(asyncio.sleep(_LOOKS_AGAIN_S), cut_by=CUTS_A_WAIT)
        except CutShort as cut:
            return LeaveLocked() if cut.reason is CutReason.LOCK_LOST else Abandon()
        if not self.recall.has_run(self.delivery):
            return None
        is_for_caller = isinstance(errand.destination, ReturnAddress)
        if (has_waited or is_for_caller) and not self.recall.is_left(self.delivery):
            return Complete()
        why = "This worker has called the flow for this request before, so it may have run; it is not called again."
        return Indeterminate(detail=why, attempts=0)

    def _recall(self, recalled: Recalled) -> Settlement | None:
        self.is_recalled = True
        self.calling.may_have_run = may_have_run(recalled.outcome)
        self.copying.is_in_doubt = isinstance(recalled.outcome, Unavailable)  # kept only while a copy is scheduled
        if not (isinstance(recalled.outcome, Running) or recalled.is_copied):
            self.outcome = recalled.outcome
        return recalled.settlement

    async def _follow(self, running: Running, errand: Errand, *, turn_in_s: float | None) -> FlowOutcome | Settlement:
        """Fetch the answer of a run that goes on.

        A copy does it for a flow that isn't idempotent: once the original is completed, no crash can lead to a second
        call. So does one that waits for its turn, or has taken a slot for as long as an attempt may. An idempotent
        flow spares itself the way over the queue.
        """
        flow, is_fetch = errand.flow, errand.request.fetch is not None
        until = fetch_until(self.delivery, flow, deadline=errand.deadline, now=_now())
        is_handed_over = turn_in_s is not None or not (is_fetch or flow.idempotent)
        while True:
            if is_handed_over and self.copying.is_possible:
                settlement = await self._hand_over(running, errand, until=until, turn_in_s=turn_in_s or 0.0)
                if settlement is not None:
                    return settlement
            result = await self.calling.fetch(flow, running, until=until, may_be_left=is_fetch)
            if not isinstance(result, Running):
                return result
            running, is_handed_over, turn_in_s = result, True, None

    async def _hand_over(
        self, running: Running, errand: Errand, *, until: float, turn_in_s: float
    ) -> Settlement | None:
        """None where a copy would come too late, or the queue doesn't take it."""
        left_s = until - _now()
        first_s = next_poll_s(0, retry_after_s=running.retry_after_s, remaining_s=left_s)
        if first_s is None or max(first_s, turn_in_s) + LEAST_ATTEMPT_S >= left_s:
            return None
        try:
            undelivered = await self.copying.hand_over(
                running, flow=errand.flow.name, delay_s=max(first_s, turn_in_s), deadline=errand.deadline or until
            )
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            self.outcome = lost_sight_of(running, cut.reason.value)
            if isinstance(errand.destination, ReturnAddress):
                return undeliverable(self.outcome, cut.reason.value)
            return dead_letter(self.outcome)
        if undelivered is None:
            return Complete()
        _log.warning("answer_fetched_in_place", request_id=errand.request.request_id, why=undelivered.detail)
        return None


def _no_place(flow: FlowSpec, turn_in_s: float) -> Unavailable:
    return Unavailable(
        detail=f"Flow {flow.name} holds all the slots that this worker can give it; it was not called.",
        attempts=0,
        retry_after_s=turn_in_s,
        held_back=HeldBack.PLACE,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
