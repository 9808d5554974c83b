"""One message: return address → request → route → deadline → call → verdict → reply → settlement."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.bridge.leash import CUTS_A_CALL, CUTS_A_REPLY, CutReason, CutShort, Leash
from worker.bridge.ports import Flows, Redeliveries, Replies
from worker.core import address
from worker.core.content import body_for
from worker.core.deadline import call_deadline, deadline_of
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    FlowOutcome,
    Indeterminate,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
    too_large,
)
from worker.core.recall import Recall
from worker.core.redelivery import NoFurtherTry, RedeliverySpec, first_enqueued_at, plan_copy
from worker.core.reply import Undelivered, asked_of, compose
from worker.core.request import Call, Destination, Request, ReturnAddress
from worker.core.route import RouteRule, choose
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settlement
from worker.core.verdict import TryLater, dead_letter, judge, undeliverable

_COPY_WITHIN_S = 60.0  # a copy that the broker doesn't take for this long means the dead-letter queue
_UNDER_WAY = Indeterminate(detail="A call of the flow was under way when the lock on the request was lost.", attempts=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSpec:
    """What the bridge is told once: addresses, flows, routes and limits."""

    namespace_host: str
    reply_queues: tuple[str, ...]
    flows: Mapping[str, FlowSpec]
    routes: tuple[RouteRule, ...]
    redelivery: RedeliverySpec
    default_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """What every message needs: the spec, the ways out, and the memory of what couldn't be settled."""

    spec: BridgeSpec
    flows: Flows
    replies: Replies
    redeliveries: Redeliveries | None  # None where copies have nowhere to go
    recall: Recall = field(default_factory=Recall)


@dataclass(slots=True, kw_only=True, eq=False)
class Passage:
    """One delivery on its way. Fields after `leash` are what is known so far, to be read when it has ended."""

    bridge: Bridge
    delivery: Delivery
    leash: Leash = field(default_factory=Leash)
    destination: Destination | None = None
    request: Request | None = None
    flow: FlowSpec | None = None
    deadline: float | None = None
    outcome: RequestOutcome | None = None
    may_have_run: bool = False
    is_recalled: bool = False
    is_replied: bool = False
    call_s: float = 0.0

    async def process(self) -> Settlement:
        """Whatever the world does at one of the awaits, a settlement comes of it."""
        spec = self.bridge.spec
        destination = address.resolve(self.delivery, reply_queues=spec.reply_queues, namespace_host=spec.namespace_host)
        if isinstance(destination, Rejected):
            self.outcome = destination
            return dead_letter(destination)
        self.destination = destination
        request = decode(self.delivery)
        if isinstance(request, Rejected):
            return await self._end(request, destination)
        self.request = request
        self.deadline = deadline_of(
            request, self.delivery, destination, default_timeout_s=spec.default_timeout_s, now=_now()
        )
        flow = _route(request, spec)
        if isinstance(flow, Rejected):
            return await self._end(flow, destination)
        self.flow = flow
        recalled = self.bridge.recall.look_up(self.delivery, now=_now())
        if recalled is not None:
            self.is_recalled, self.outcome = True, recalled.outcome
            self.may_have_run = _may_have_run(recalled.outcome)
            return recalled.settlement or await self._end(recalled.outcome, destination)
        outcome = await self._call(request, flow)
        if isinstance(outcome, Abandon | LeaveLocked):
            return outcome
        return await self._end(outcome, destination)

    async def answer_after_defect(self) -> None:
        """From the third delivery on the caller hears that we failed it, as long as nobody has answered it."""
        if self.delivery.delivery_count < 2 or self.is_replied or not isinstance(self.destination, ReturnAddress):
            return
        detail = "The bridge failed on this request repeatedly; its operator finds the reason in the log."
        if self.may_have_run:
            self.outcome = Indeterminate(detail=detail, attempts=1)
        else:
            self.outcome = Unavailable(detail=detail, attempts=0)
        self.is_replied = await self._publish(self.outcome, self.destination) is None

    async def _call(self, request: Request, flow: FlowSpec) -> RequestOutcome | Abandon | LeaveLocked:
        """An outcome; or, where there is nothing to tell the caller yet, what to do with the delivery."""
        if self.delivery.is_redelivered and not flow.idempotent and flow.after_crash == "indeterminate":
            return Indeterminate(
                detail="An earlier delivery of this request ended without a word, so the flow may have run; "
                'after_crash = "indeterminate" forbids another call.',
                attempts=0,
            )
        until = call_deadline(self.deadline, enqueued_at=first_enqueued_at(self.delivery), now=_now())
        if isinstance(until, Expired):
            return until
        call = _call_of(request, flow, until)
        if isinstance(call, Rejected):
            return call
        return await self._attempt(call)

    async def _attempt(self, call: Call) -> FlowOutcome | Abandon | LeaveLocked:
        """From the first attempt on, a flow that isn't idempotent is never called again for this delivery."""
        must_not_repeat = not call.flow.idempotent
        started = _now()
        flow_call = self.bridge.flows.start(call)
        if must_not_repeat:
            self.bridge.recall.keep(self.delivery, _UNDER_WAY, now=started)
        try:
            outcome = await self.leash.hold(flow_call.run(), cut_by=CUTS_A_CALL)
        except CutShort as cut:
            outcome = flow_call.cut_short(cut.reason.value)
            if isinstance(outcome, Unavailable) or not must_not_repeat or cut.reason is CutReason.LOCK_LOST:
                self._remember(outcome, call.flow)
                return LeaveLocked() if cut.reason is CutReason.LOCK_LOST else Abandon()
        except Exception:
            self._remember(flow_call.cut_short("the bridge failed"), call.flow)
            raise
        finally:
            self.call_s = _now() - started
        self._remember(outcome, call.flow)
        return outcome

    def _remember(self, outcome: FlowOutcome, flow: FlowSpec) -> None:
        """Only what can't be found out by calling again."""
        self.may_have_run = _may_have_run(outcome)
        if self.may_have_run and not (flow.idempotent and isinstance(outcome, Indeterminate)):
            self.bridge.recall.keep(self.delivery, outcome, now=_now())
        else:
            self.bridge.recall.forget(self.delivery)

    async def _end(self, outcome: RequestOutcome, destination: Destination) -> Settlement:
        """Reply first, then settle; a one-way request that may be tried again is copied first, then completed."""
        self.outcome = outcome
        is_idempotent = self.flow is not None and self.flow.idempotent
        verdict = judge(outcome, destination, is_idempotent=is_idempotent)
        try:
            if verdict.reply_to is not None:
                undelivered = await self._reply(outcome, verdict.reply_to)
                if undelivered is not None:
                    return undeliverable(self.outcome, undelivered.detail)
            settlement = await self._try_later(verdict.then) if isinstance(verdict.then, TryLater) else verdict.then
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            if is_idempotent or not _may_have_run(outcome):
                return Abandon()
            return undeliverable(self.outcome, cut.reason.value)
        self.bridge.recall.keep(self.delivery, self.outcome, settlement=settlement, now=_now())
        return settlement

    async def _reply(self, outcome: RequestOutcome, to: ReturnAddress) -> Undelivered | None:
        undelivered = await self._publish(outcome, to)
        if undelivered is not None and undelivered.is_too_large and isinstance(outcome, Answered | Refused):
            detail = f"The flow answered, but the answer is larger than a message on {to.queue!r} may be."
            self.outcome = too_large(outcome, detail)
            undelivered = await self._publish(self.outcome, to)
        self.is_replied = undelivered is None
        return undelivered

    async def _publish(self, outcome: RequestOutcome, to: ReturnAddress) -> Undelivered | None:
        now = _now()
        reply = compose(
            outcome,
            to,
            asked_of(self.delivery, self.request),
            enqueued_at=self.delivery.enqueued_at,
            deadline=self.deadline,
            now=now,
        )
        publishing = self.bridge.replies.publish(reply, until=now + reply.time_to_live_s)
        return await self.leash.hold(publishing, cut_by=CUTS_A_REPLY)

    async def _try_later(self, later: TryLater) -> Complete | DeadLetter:
        if self.bridge.redeliveries is None:
            return dead_letter(later.outcome, because="there is no queue for another try (retry_queue)")
        now = _now()
        copy = plan_copy(
            later.outcome,
            self.delivery,
            self.bridge.spec.redelivery,
            tries=0 if self.request is None else self.request.delivery_attempt,
            deadline=self.deadline,
            now=now,
            draw=random.random(),  # noqa: S311 - jitter
        )
        if isinstance(copy, NoFurtherTry):
            return dead_letter(later.outcome, because=copy.why)
        # The broker may take it although we are cut before we hear of it: then the same copy again, never a call.
        self.bridge.recall.keep(self.delivery, later.outcome, now=now)
        scheduling = self.bridge.redeliveries.schedule(copy, until=now + _COPY_WITHIN_S)
        undelivered = await self.leash.hold(scheduling, cut_by=CUTS_A_REPLY)
        if undelivered is not None:
            return dead_letter(later.outcome, because=f"its next try couldn't be scheduled: {undelivered.detail}")
        return Complete()


def _route(request: Request, spec: BridgeSpec) -> FlowSpec | Rejected:
    name = choose(spec.routes, spec.flows, request)
    if isinstance(name, Rejected):
        return name
    flow = spec.flows[name]
    if request.is_truncated and flow.truncated == "reject":
        return Rejected(
            reason=Reason.TRUNCATED,
            detail="Dataverse left parts of the context out because it was too large. Register fewer columns "
            f'and images on the step, or set truncated = "pass" on the flow {name!r}.',
        )
    return flow


def _call_of(request: Request, flow: FlowSpec, until: float | None) -> Call | Rejected:
    content = body_for(request, flow)
    if isinstance(content, Rejected):
        return content
    body, content_type = content
    return Call(
        flow=flow,
        request_id=request.request_id,
        idempotency_key=request.idempotency_key,
        body=body,
        content_type=content_type,
        trace=request.trace,
        deadline=until,
    )


def _may_have_run(outcome: RequestOutcome) -> bool:
    return isinstance(outcome, Answered | Refused | Indeterminate)


def _now() -> float:
    return asyncio.get_running_loop().time()
