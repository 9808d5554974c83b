"""Step five for one delivery: a call of its flow, or the fetching of an answer that an earlier call left behind."""

import asyncio
from collections.abc import Container, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from worker.bridge.leash import CUTS_A_CALL, CutReason, CutShort, Leash
from worker.bridge.ports import FlowCall, Flows
from worker.core.answer import as_agreed
from worker.core.attempt import Attempt
from worker.core.content import content_for
from worker.core.deadline import call_deadline, reply_due
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    FlowOutcome,
    HeldBack,
    Indeterminate,
    NoRetry,
    Refused,
    Rejected,
    RequestOutcome,
    Running,
    Unavailable,
)
from worker.core.recall import Recall
from worker.core.redelivery import first_enqueued_at, origin_of
from worker.core.request import Call, Request
from worker.core.settlement import Abandon, LeaveLocked
from worker.core.trace import TraceContext

T = TypeVar("T")

_UNDER_WAY = Indeterminate(detail="A call of the flow was under way when the lock on the request was lost.", attempts=1)


@dataclass(frozen=True, slots=True)
class _UntilItBegins:
    """What cuts a call: the end of its time, and before its first request also that somebody else can make it."""

    call: FlowCall

    def __contains__(self, reason: object) -> bool:
        return reason in CUTS_A_CALL or (reason is CutReason.STOPPING and not self.call.tries)


@dataclass(slots=True, kw_only=True, eq=False)
class Calling:
    """`may_have_run`, `call_s` and `calls` are what is known so far.

    `may_be_left`: what isn't called yet when the worker is told to stop goes back to the queue, at no delivery count.
    """

    flows: Flows
    recall: Recall
    leash: Leash
    delivery: Delivery
    may_be_left: bool
    may_have_run: bool = False
    _is_run_noted: bool = False
    call_s: float = 0.0
    calls: list[FlowCall] = field(default_factory=list)

    async def call(self, call: Call) -> FlowOutcome | Running | Abandon | LeaveLocked:
        """From the first attempt on, a flow that isn't idempotent is never called again for this delivery."""
        must_not_repeat = not call.flow.idempotent
        flow_call = self.flows.start(call)
        self.calls.append(flow_call)
        if must_not_repeat:
            self.recall.keep(self.delivery, _UNDER_WAY, now=_now())
            self.recall.note_run(self.delivery, now=_now())
            self._is_run_noted = True
        try:
            cut_by = _UntilItBegins(flow_call) if self.may_be_left else CUTS_A_CALL
            outcome = await self._held(flow_call.run(), cut_by)
        except CutShort as cut:
            outcome = flow_call.cut_short(cut.reason.value)
            if cut.reason is CutReason.LOCK_LOST:
                self._remember(outcome, call.flow)
                return LeaveLocked()
            if isinstance(outcome, Unavailable):
                outcome = replace(outcome, held_back=HeldBack.STOP)
            elif not must_not_repeat:
                self._remember(outcome, call.flow)
                return Abandon()
        except Exception:
            self._remember(flow_call.cut_short("the bridge failed"), call.flow)
            raise
        outcome = as_agreed(outcome, call.flow)
        self._remember(outcome, call.flow)
        return outcome

    @property
    def tries(self) -> tuple[Attempt, ...]:
        return tuple(attempt for call in self.calls for attempt in call.tries)

    @property
    def no_retry(self) -> NoRetry | None:
        """Of the last call."""
        return self.calls[-1].no_retry if self.calls else None

    def ended(self, *, is_left: bool) -> None:
        """The work on the delivery has; `is_left`: without an end for the request."""
        if self._is_run_noted:
            self.recall.end_run(self.delivery, is_left=is_left)

    async def fetch(
        self, flow: FlowSpec, running: Running, *, until: float, may_be_left: bool
    ) -> FlowOutcome | Running | Abandon | LeaveLocked:
        """`Running` when it has taken as long as an attempt may, and there is time left.

        `may_be_left`: whoever gets the request next fetches too, instead of calling.
        """
        self.may_have_run = True
        fetching = self.flows.fetch(flow, running, until=until, stays_until=_now() + flow.timeout_s)
        try:
            outcome = await self._held(fetching.run(), CUTS_A_CALL)
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            if may_be_left or flow.idempotent:
                return Abandon()
            outcome = fetching.cut_short(cut.reason.value)
        outcome = as_agreed(outcome, flow)
        self._remember(outcome, flow)
        return outcome

    def _remember(self, outcome: FlowOutcome | Running, flow: FlowSpec) -> None:
        """Only what can't be found out by calling again."""
        self.may_have_run = may_have_run(outcome)
        if self.may_have_run and not (flow.idempotent and isinstance(outcome, Indeterminate)):
            self.recall.keep(self.delivery, outcome, now=_now())
        else:
            self.recall.forget(self.delivery)
        if not self.may_have_run:
            self.recall.forget_run(self.delivery)

    async def _held(self, work: Coroutine[Any, Any, T], cut_by: Container[CutReason]) -> T:
        started = _now()
        try:
            return await self.leash.hold(work, cut_by=cut_by)
        finally:
            self.call_s += _now() - started


def call_of(
    request: Request,
    delivery: Delivery,
    flow: FlowSpec,
    *,
    deadline: float | None,
    context: TraceContext | None,
    now: float,
) -> Call | Indeterminate | Expired | Rejected:
    """The call to be made, or why none is."""
    if delivery.is_redelivered and not flow.idempotent and flow.after_crash == "indeterminate":
        return Indeterminate(
            detail="An earlier delivery of this request ended without a word, so the flow may have run; "
            'after_crash = "indeterminate" forbids another call.',
            attempts=0,
        )
    until = call_deadline(deadline, enqueued_at=first_enqueued_at(delivery), now=now)
    if isinstance(until, Expired):
        return until
    _, first_enqueued_ms = origin_of(delivery)
    content = content_for(request, flow, first_enqueued_ms=first_enqueued_ms)
    if request.event is not None:
        request.event.forget()
    if isinstance(content, Rejected):
        return content
    # A copy is the retry: attempts within the lock don't multiply with redeliveries.
    retry = flow.retry if request.delivery_attempt == 0 else replace(flow.retry, attempts=1)
    return Call(
        flow=flow,
        retry=retry,
        request_id=request.request_id,
        idempotency_key=request.idempotency_key,
        body=content.body,
        content_type=content.content_type,
        query=content.query,
        trace=request.trace if context is None else {},  # it has headers of its own
        deadline=until,
        context=context,
    )


def fetch_until(delivery: Delivery, flow: FlowSpec, *, deadline: float | None, now: float) -> float:
    """Nobody waits for a one-way request's answer: it is asked for no longer than an attempt may take."""
    if deadline is None:
        return now + flow.timeout_s
    return reply_due(deadline, enqueued_at=min(first_enqueued_at(delivery), now))


def may_have_run(outcome: RequestOutcome | Running) -> bool:
    return isinstance(outcome, Answered | Refused | Indeterminate | Running)


def _now() -> float:
    return asyncio.get_running_loop().time()
