"""One message: return address → request → route → deadline → call → verdict → reply → settlement."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from worker.bridge.calling import Calling, call_of, fetch_until, may_have_run
from worker.bridge.copying import Copying
from worker.bridge.leash import CUTS_A_REPLY, CutReason, CutShort, Leash
from worker.bridge.places import Places
from worker.bridge.ports import Flows, Redeliveries, Replies
from worker.core import address
from worker.core.deadline import deadline_of
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    FlowOutcome,
    HeldBack,
    Indeterminate,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Running,
    Unavailable,
    in_doubt,
    lost_sight_of,
    too_large,
)
from worker.core.recall import Recall, Recalled
from worker.core.redelivery import RedeliverySpec, first_enqueued_at, is_copy
from worker.core.reply import Undelivered, asked_of, compose
from worker.core.request import Call, Destination, Request, ReturnAddress
from worker.core.retry import LEAST_ATTEMPT_S, next_poll_s
from worker.core.route import RouteRule, choose
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settlement
from worker.core.verdict import TryLater, Verdict, dead_letter, judge, undeliverable

_log = structlog.stdlib.get_logger(__name__)


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
    places: Places
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
    calling: Calling = field(init=False)
    copying: Copying = field(init=False)
    outcome: RequestOutcome | None = None
    is_recalled: bool = False
    is_replied: bool = False

    def __post_init__(self) -> None:
        bridge, leash, delivery = self.bridge, self.leash, self.delivery
        self.calling = Calling(flows=bridge.flows, recall=bridge.recall, leash=leash, delivery=delivery)
        self.copying = Copying(redeliveries=bridge.redeliveries, recall=bridge.recall, leash=leash, delivery=delivery)

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
        if isinstance(flow, Rejected | Indeterminate):
            return await self._end(flow, destination)
        self.flow = flow
        outcome = await self._outcome(request, flow)
        if isinstance(outcome, Complete | DeadLetter | Abandon | LeaveLocked):
            return outcome
        return await self._end(outcome, destination)

    async def answer_after_defect(self) -> None:
        """From the third delivery on the caller hears that we failed it, as long as nobody has answered it."""
        if self.delivery.delivery_count < 2 or self.is_replied or not isinstance(self.destination, ReturnAddress):
            return
        detail = "The bridge failed on this request repeatedly; its operator finds the reason in the log."
        if self.calling.may_have_run:
            self.outcome = Indeterminate(detail=detail, attempts=1)
        else:
            self.outcome = Unavailable(detail=detail, attempts=0)
        self.is_replied = await self._publish(self.outcome, self.destination) is None

    async def _outcome(self, request: Request, flow: FlowSpec) -> RequestOutcome | Settlement:
        """From memory, from the run that an earlier delivery began, or from a call."""
        self.calling.may_have_run = request.fetch is not None
        recalled = self.bridge.recall.look_up(self.delivery, now=_now())
        if recalled is not None and (settled := self._recall(recalled)) is not None:
            return settled
        if recalled is not None:
            known: Call | RequestOutcome | Running = recalled.outcome
        elif request.fetch is not None:
            known = request.fetch.running
        elif is_copy(self.delivery) and not flow.idempotent and self.bridge.recall.has_run(self.delivery):
            return self._called_before(request)
        else:
            known = call_of(request, self.delivery, flow, deadline=self.deadline, now=_now())
        if not isinstance(known, Call | Running):
            return known
        async with self.bridge.places.entered(flow.name) as turn_in_s:
            if isinstance(known, Call):
                if turn_in_s is not None:
                    return _no_place(flow, turn_in_s)
                outcome = await self.calling.call(known)
                if not isinstance(outcome, Running):
                    return outcome
                known = outcome
            return await self._follow(known, flow, is_fetch=request.fetch is not None, turn_in_s=turn_in_s)

    def _called_before(self, request: Request) -> Settlement:
        """The original came here, too, while its copy was in doubt: whoever called the flow then ends the request."""
        _log.warning("copy_of_a_call", request_id=request.request_id)
        if isinstance(self.destination, ReturnAddress):
            return Complete()
        why = "This worker has called the flow for this request before, so it may have run; it is not called again."
        self.outcome = Indeterminate(detail=why, attempts=0)
        return dead_letter(self.outcome)

    def _recall(self, recalled: Recalled) -> Settlement | None:
        self.is_recalled = True
        self.calling.may_have_run = may_have_run(recalled.outcome)
        self.copying.is_in_doubt = isinstance(recalled.outcome, Unavailable)  # kept only while a copy is scheduled
        if not isinstance(recalled.outcome, Running):
            self.outcome = recalled.outcome
        return recalled.settlement

    async def _follow(
        self, running: Running, flow: FlowSpec, *, is_fetch: bool, turn_in_s: float | None
    ) -> FlowOutcome | Settlement:
        """Fetch the answer of a run that goes on.

        A copy does it for a flow that isn't idempotent: once the original is completed, no crash can lead to a second
        call. So does one that waits for its turn, or has taken a slot for as long as an attempt may. An idempotent
        flow spares itself the way over the queue.
        """
        until = fetch_until(self.delivery, flow, deadline=self.deadline, now=_now())
        is_handed_over = turn_in_s is not None or not (is_fetch or flow.idempotent)
        while True:
            if is_handed_over:
                settlement = await self._hand_over(running, flow, until=until, turn_in_s=turn_in_s or 0.0)
                if settlement is not None:
                    return settlement
            result = await self.calling.fetch(flow, running, until=until, may_be_left=is_fetch)
            if not isinstance(result, Running):
                return result
            running, is_handed_over, turn_in_s = result, True, None

    async def _hand_over(
        self, running: Running, flow: FlowSpec, *, until: float, turn_in_s: float
    ) -> Settlement | None:
        """None where a copy would come too late, or the queue doesn't take it."""
        left_s = until - _now()
        first_s = next_poll_s(0, retry_after_s=running.retry_after_s, remaining_s=left_s)
        if first_s is None or max(first_s, turn_in_s) + LEAST_ATTEMPT_S >= left_s:
            return None
        try:
            undelivered = await self.copying.hand_over(
                running, flow=flow.name, delay_s=max(first_s, turn_in_s), deadline=self.deadline or until
            )
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            self.outcome = lost_sight_of(running, cut.reason.value)
            if isinstance(self.destination, ReturnAddress):
                return undeliverable(self.outcome, cut.reason.value)
            return dead_letter(self.outcome)
        if undelivered is None:
            return Complete()
        _log.warning("answer_fetched_in_place", why=undelivered.detail)
        return None

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
            if is_idempotent or not may_have_run(outcome):
                return Abandon()
            return undeliverable(self.outcome, cut.reason.value)
        if not (isinstance(settlement, DeadLetter) and settlement.reason is Reason.REPLY_UNDELIVERABLE):
            self.bridge.recall.keep(self.delivery, self.outcome, settlement=settlement, now=_now())
        return settlement

    async def _carry_out(self, verdict: Verdict, outcome: RequestOutcome) -> Complete | DeadLetter:
        then = verdict.then
        if isinstance(then, TryLater):
            why_not = await self.copying.try_later(
                then.outcome,
                self.bridge.spec.redelivery,
                tries=0 if self.request is None else self.request.delivery_attempt,
                deadline=self.deadline,
            )
            if why_not is None:
                return Complete()
            then = Complete() if verdict.reply_to is not None else dead_letter(outcome, because=why_not)
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
        is_idempotent = self.flow is not None and self.flow.idempotent
        if self.delivery.is_redelivered and not (is_idempotent or self.is_recalled):
            return in_doubt(outcome, "An earlier delivery of it ended without a word, so the flow may have run.")
        return outcome

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
            enqueued_at=first_enqueued_at(self.delivery),
            deadline=self.deadline,
            now=now,
        )
        publishing = self.bridge.replies.publish(reply, until=now + reply.time_to_live_s)
        return await self.leash.hold(publishing, cut_by=CUTS_A_REPLY)


def _route(request: Request, spec: BridgeSpec) -> FlowSpec | Rejected | Indeterminate:
    if request.fetch is not None:
        known = spec.flows.get(request.fetch.flow_name)
        gone = f"this worker has no flow {request.fetch.flow_name!r:.80} any more"
        return known or lost_sight_of(request.fetch.running, gone)
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


def _no_place(flow: FlowSpec, turn_in_s: float) -> Unavailable:
    return Unavailable(
        detail=f"Flow {flow.name} holds all the slots that this worker can give it; it was not called.",
        attempts=0,
        retry_after_s=turn_in_s,
        held_back=HeldBack.PLACE,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
