"""One message: return address → request → route → deadline → call → verdict → reply → settlement."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.bridge.calling import Calling, may_have_run
from worker.bridge.copying import Copying
from worker.bridge.leash import CUTS_A_REPLY, CutReason, CutShort, Leash
from worker.bridge.obtaining import Errand, Obtaining
from worker.bridge.places import Places
from worker.bridge.ports import Flows, Redeliveries, Replies, Tracing
from worker.core import address
from worker.core.admission import AdmissionSpec
from worker.core.deadline import deadline_of
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    HeldBack,
    Indeterminate,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
    in_doubt,
    lost_sight_of,
    too_large,
)
from worker.core.recall import Recall
from worker.core.redelivery import NoFurtherTry, RedeliverySpec, first_enqueued_at
from worker.core.reply import Undelivered, asked_of, compose
from worker.core.request import Destination, Request, ReturnAddress
from worker.core.route import RouteRule, flow_for
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settlement
from worker.core.trace import TraceContext
from worker.core.verdict import TryLater, Verdict, dead_letter, judge, undeliverable


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSpec:
    """What the bridge is told once: addresses, flows, routes and limits."""

    namespace_host: str
    reply_queues: tuple[str, ...]
    flows: Mapping[str, FlowSpec]
    routes: tuple[RouteRule, ...]
    admission: AdmissionSpec
    redelivery: RedeliverySpec
    default_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """What every message needs: the spec, the ways out, and the memory of what couldn't be settled."""

    spec: BridgeSpec
    flows: Flows
    replies: Replies
    redeliveries: Redeliveries | None  # None where copies have nowhere to go
    places: Places
    tracing: Tracing | None = None
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
    context: TraceContext | None = None
    calling: Calling = field(init=False)
    copying: Copying = field(init=False)
    obtaining: Obtaining = field(init=False)
    outcome: RequestOutcome | None = None
    reply_began_at: float | None = None
    replied_at: float | None = None

    def __post_init__(self) -> None:
        bridge, leash, delivery = self.bridge, self.leash, self.delivery
        self.copying = Copying(redeliveries=bridge.redeliveries, recall=bridge.recall, leash=leash, delivery=delivery)
        may_be_left = self.copying.is_possible or bridge.spec.redelivery.is_in_place
        self.calling = Calling(
            flows=bridge.flows, recall=bridge.recall, leash=leash, delivery=delivery, may_be_left=may_be_left
        )
        self.obtaining = Obtaining(
            delivery=delivery,
            leash=leash,
            recall=bridge.recall,
            places=bridge.places,
            calling=self.calling,
            copying=self.copying,
            redelivery=bridge.spec.redelivery,
        )

    @property
    def is_replied(self) -> bool:
        return self.replied_at is not None

    @property
    def is_recalled(self) -> bool:
        return self.obtaining.is_recalled

    async def process(self) -> Settlement:
        """Whatever the world does at one of the awaits, a settlement comes of it."""
        settlement: Settlement | None = None
        try:
            settlement = await self._process()
        finally:
            self.calling.ended(is_left=not (self.is_replied or isinstance(settlement, Complete)))
        return settlement

    async def _process(self) -> Settlement:
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
        if self.bridge.tracing is not None:
            self.context = self.bridge.tracing.context(request.trace)
        self.deadline = deadline_of(
            request, self.delivery, destination, default_timeout_s=spec.default_timeout_s, now=_now()
        )
        flow = _route(request, spec)
        if isinstance(flow, Rejected | Indeterminate):
            return await self._end(flow, destination)
        self.flow = flow
        errand = Errand(
            request=request, flow=flow, destination=destination, deadline=self.deadline, context=self.context
        )
        outcome = await self.obtaining.obtain(errand)
        self.outcome = self.obtaining.outcome
        if isinstance(outcome, Complete | DeadLetter | Abandon | LeaveLocked):
            return outcome
        return await self._end(outcome, destination)

    async def answer_after_defect(self) -> None:
        """From the third delivery on the caller hears that we failed it, as long as nobody has answered it."""
        is_surely_uncalled = not self.calling.may_have_run and self.bridge.recall.note_uncalled(self.delivery)
        if self.delivery.delivery_count < 2 or self.is_replied or not isinstance(self.destination, ReturnAddress):
            return
        detail = "The bridge failed on this request repeatedly; its operator finds the reason in the log."
        if self.calling.may_have_run:
            self.outcome = Indeterminate(detail=detail, attempts=1)
        else:
            uncalled = Unavailable(detail=detail, attempts=0)
            self.outcome = uncalled if is_surely_uncalled else self._as_far_as_known(uncalled)
        await self._publish(self.outcome, self.destination)

    async def _end(self, outcome: RequestOutcome, destination: Destination) -> Settlement:
        """Reply first, then settle; what may be tried again later is copied first, then completed."""
        self.outcome = outcome
        is_idempotent = self.flow is not None and self.flow.idempotent
        verdict = judge(outcome, destination, is_idempotent=is_idempotent)
        try:
            settlement = await self._carry_out(verdict, outcome)
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            if is_idempotent or not (may_have_run(outcome) or self.copying.is_in_doubt):
                return Abandon()
            self.outcome = self._as_far_as_known(outcome)
            if isinstance(destination, ReturnAddress):
                return undeliverable(self.outcome, cut.reason.value)
            return dead_letter(self.outcome)
        is_undelivered = isinstance(settlement, DeadLetter) and settlement.reason is Reason.REPLY_UNDELIVERABLE
        if not (is_undelivered or isinstance(settlement, Abandon)):
            is_copied = self.copying.copy_in_s is not None
            self.bridge.recall.keep(self.delivery, self.outcome, settlement=settlement, is_copied=is_copied, now=_now())
        return settlement

    async def _carry_out(self, verdict: Verdict, outcome: RequestOutcome) -> Complete | DeadLetter | Abandon:
        then = verdict.then
        if isinstance(then, TryLater):
            why_not = self.obtaining.no_further_try or await self.copying.try_later(
                then.outcome,
                self.bridge.spec.redelivery,
                tries=0 if self.request is None else self.request.delivery_attempt,
                deadline=self.deadline,
            )
            if why_not is None:
                return Complete()
            is_told = isinstance(why_not, NoFurtherTry) and verdict.reply_to is not None and self.copying.is_possible
            is_left = isinstance(outcome, Unavailable) and outcome.held_back is HeldBack.STOP
            if is_left and not (is_told or self.copying.is_in_doubt):
                return Abandon()
            then = Complete() if verdict.reply_to is not None else dead_letter(outcome, because=why_not.why)
        if verdict.reply_to is not None:
            told = self.outcome = self._as_far_as_known(outcome)
            undelivered = await self._reply(told, verdict.reply_to)
            if undelivered is not None:
                return undeliverable(self.outcome, undelivered.detail)
        return then

    def _as_far_as_known(self, outcome: RequestOutcome) -> RequestOutcome:
        """A caller is told that its flow surely did not run only where nobody else may have called it, or will."""
        if not isinstance(outcome, Unavailable | Expired):
            return outcome
        if self.copying.is_in_doubt:
            return in_doubt(outcome, "A copy of the request may still reach the flow.")
        if self.delivery.is_redelivered and not self.is_recalled:
            return in_doubt(outcome, "An earlier delivery of it ended without a word, so the flow may have run.")
        return outcome

    async def _reply(self, outcome: RequestOutcome, to: ReturnAddress) -> Undelivered | None:
        undelivered = await self._publish(outcome, to)
        if undelivered is not None and undelivered.is_too_large and isinstance(outcome, Answered | Refused):
            size_bytes = 0 if outcome.body is None else len(outcome.body.content)
            detail = f"The flow answered, but {size_bytes:,} bytes are more than a message on {to.queue!r} may have."
            self.outcome = too_large(outcome, detail)
            undelivered = await self._publish(self.outcome, to)
        return undelivered

    async def _publish(self, outcome: RequestOutcome, to: ReturnAddress) -> Undelivered | None:
        now = _now()
        reply = compose(
            outcome,
            to,
            asked_of(self.delivery, self.request, self.context),
            enqueued_at=first_enqueued_at(self.delivery),
            deadline=self.deadline,
            now=now,
        )
        self.reply_began_at = now
        publishing = self.bridge.replies.publish(reply, until=now + reply.time_to_live_s)
        undelivered = await self.leash.hold(publishing, cut_by=CUTS_A_REPLY)
        self.replied_at = _now() if undelivered is None else None
        return undelivered


def _route(request: Request, spec: BridgeSpec) -> FlowSpec | Rejected | Indeterminate:
    if request.fetch is not None:
        known = spec.flows.get(request.fetch.flow_name)
        gone = f"this worker has no flow {request.fetch.flow_name!r:.80} any more"
        return known or lost_sight_of(request.fetch.running, gone)
    return flow_for(request, spec.routes, spec.flows, spec.admission)


def _now() -> float:
    return asyncio.get_running_loop().time()
