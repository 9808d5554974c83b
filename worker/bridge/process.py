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
)
from worker.core.recall import Recall
from worker.core.redelivery import NoFurtherTry, RedeliverySpec, plan_copy
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


@dataclass(slots=True, kw_only=True)
class Progress:
    """What is known of one delivery so far: written by `process`, read when it has ended or failed."""

    destination: Destination | None = None
    request: Request | None = None
    flow: FlowSpec | None = None
    deadline: float | None = None
    outcome: RequestOutcome | None = None
    may_have_run: bool = False
    is_recalled: bool = False
    is_replied: bool = False
    call_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """`process` is the whole job. Once its settlement is confirmed, `recall.forget` the delivery."""

    spec: BridgeSpec
    flows: Flows
    replies: Replies
    redeliveries: Redeliveries
    recall: Recall = field(default_factory=Recall)

    async def process(self, delivery: Delivery, leash: Leash, progress: Progress) -> Settlement:
        """Whatever the world does at one of the awaits, a settlement comes of it."""
        destination = address.resolve(
            delivery, reply_queues=self.spec.reply_queues, namespace_host=self.spec.namespace_host
        )
        if isinstance(destination, Rejected):
            progress.outcome = destination
            return dead_letter(destination)
        progress.destination = destination
        request = decode(delivery)
        if isinstance(request, Rejected):
            return await self._end(request, delivery, leash, progress)
        progress.request = request
        progress.deadline = deadline_of(
            request, delivery, destination, default_timeout_s=self.spec.default_timeout_s, now=_now()
        )
        flow = self._route(request)
        if isinstance(flow, Rejected):
            return await self._end(flow, delivery, leash, progress)
        progress.flow = flow
        recalled = self.recall.look_up(delivery, now=_now())
        if recalled is not None:
            progress.is_recalled, progress.outcome = True, recalled.outcome
            if recalled.settlement is not None:
                return recalled.settlement
            return await self._end(recalled.outcome, delivery, leash, progress)
        outcome = await self._call(request, flow, delivery, leash, progress)
        if isinstance(outcome, Abandon | LeaveLocked):
            return outcome
        return await self._end(outcome, delivery, leash, progress)

    async def answer_after_defect(self, delivery: Delivery, leash: Leash, progress: Progress) -> None:
        """From the third delivery on the caller hears that we failed it, as long as nobody has answered it (law 8)."""
        if delivery.delivery_count < 2 or progress.is_replied or not isinstance(progress.destination, ReturnAddress):
            return
        detail = "The bridge failed on this request repeatedly; its operator finds the reason in the log."
        if progress.may_have_run:
            progress.outcome = Indeterminate(detail=detail, attempts=1)
        else:
            progress.outcome = Unavailable(detail=detail, attempts=0)
        await self._publish(progress.outcome, progress.destination, delivery, leash, progress)

    def _route(self, request: Request) -> FlowSpec | Rejected:
        name = choose(self.spec.routes, tuple(self.spec.flows), request)
        if isinstance(name, Rejected):
            return name
        flow = self.spec.flows[name]
        if request.is_truncated and flow.truncated == "reject":
            return Rejected(
                reason=Reason.TRUNCATED,
                detail="Dataverse left parts of the context out because it was too large. Register fewer columns "
                f'and images on the step, or set truncated = "pass" on the flow {name!r}.',
            )
        return flow

    async def _call(
        self, request: Request, flow: FlowSpec, delivery: Delivery, leash: Leash, progress: Progress
    ) -> FlowOutcome | Abandon | LeaveLocked:
        """An outcome; or, where there is nothing to tell the caller yet, what to do with the delivery."""
        now = _now()
        until = call_deadline(progress.deadline, enqueued_at=delivery.enqueued_at, now=now)
        if isinstance(until, Expired):
            return until
        if delivery.is_redelivered and not flow.idempotent and flow.after_crash == "indeterminate":
            return Indeterminate(
                detail=f"An earlier delivery (of {delivery.delivery_count}) ended without a word, so the flow may "
                'have run; after_crash = "indeterminate" forbids another call.',
                attempts=0,
            )
        call = self.flows.start(_call_of(request, flow, until))
        if not flow.idempotent:
            self.recall.keep(delivery, _UNDER_WAY, now=now)
        try:
            outcome = await leash.hold(call.run(), cut_by=CUTS_A_CALL)
        except CutShort as cut:
            known = call.cut_short(cut.reason.value)
            must_not_run_again = isinstance(known, Indeterminate) and not flow.idempotent
            if not must_not_run_again:
                self.recall.forget(delivery)
                return LeaveLocked() if cut.reason is CutReason.LOCK_LOST else Abandon()
            outcome = known
        except Exception:
            progress.may_have_run = isinstance(call.cut_short("the bridge failed"), Indeterminate)
            if not progress.may_have_run:
                self.recall.forget(delivery)
            raise
        finally:
            progress.call_s = _now() - now
        progress.may_have_run = _may_have_run(outcome)
        if progress.may_have_run:
            self.recall.keep(delivery, outcome, now=_now())
        else:
            self.recall.forget(delivery)
        return outcome

    async def _end(self, outcome: RequestOutcome, delivery: Delivery, leash: Leash, progress: Progress) -> Settlement:
        """Reply first, then settle; a one-way request that may be tried again is copied first, then completed."""
        progress.outcome = outcome
        assert progress.destination is not None  # noqa: S101  (set before anything can end)
        is_idempotent = progress.flow is not None and progress.flow.idempotent
        verdict = judge(outcome, progress.destination, is_idempotent=is_idempotent)
        settlement: Complete | DeadLetter | Abandon
        try:
            if verdict.reply_to is not None:
                undelivered = await self._reply(verdict.reply_to, delivery, leash, progress)
                if undelivered is not None:
                    return undeliverable(progress.outcome, undelivered.detail)
            if isinstance(verdict.then, TryLater):
                settlement = await self._try_later(verdict.then, delivery, leash, progress)
            else:
                settlement = verdict.then
        except CutShort as cut:
            if cut.reason is CutReason.LOCK_LOST:
                return LeaveLocked()
            if is_idempotent or not _may_have_run(outcome):
                return Abandon()
            return undeliverable(outcome, cut.reason.value)
        self.recall.keep(delivery, progress.outcome, settlement=settlement, now=_now())
        return settlement

    async def _reply(
        self, to: ReturnAddress, delivery: Delivery, leash: Leash, progress: Progress
    ) -> Undelivered | None:
        assert progress.outcome is not None  # noqa: S101  (`_end` has just set it)
        undelivered = await self._publish(progress.outcome, to, delivery, leash, progress)
        if undelivered is not None and undelivered.is_too_large and isinstance(progress.outcome, Answered | Refused):
            progress.outcome = _too_large(progress.outcome, to)
            undelivered = await self._publish(progress.outcome, to, delivery, leash, progress)
        progress.is_replied = undelivered is None
        return undelivered

    async def _publish(
        self, outcome: RequestOutcome, to: ReturnAddress, delivery: Delivery, leash: Leash, progress: Progress
    ) -> Undelivered | None:
        now = _now()
        reply = compose(
            outcome,
            to,
            asked_of(delivery, progress.request),
            enqueued_at=delivery.enqueued_at,
            deadline=progress.deadline,
            now=now,
        )
        publishing = self.replies.publish(reply, until=now + reply.time_to_live_s)
        return await leash.hold(publishing, cut_by=CUTS_A_REPLY)

    async def _try_later(
        self, later: TryLater, delivery: Delivery, leash: Leash, progress: Progress
    ) -> Complete | DeadLetter:
        now = _now()
        assert progress.request is not None  # noqa: S101  (what can't be decoded is dead-lettered)
        copy = plan_copy(
            later.outcome,
            progress.request,
            delivery,
            self.spec.redelivery,
            deadline=progress.deadline,
            now=now,
            draw=random.random(),  # noqa: S311  (jitter)
        )
        if isinstance(copy, NoFurtherTry):
            return dead_letter(later.outcome, because=copy.why)
        scheduling = self.redeliveries.schedule(copy, until=now + _COPY_WITHIN_S)
        undelivered = await leash.hold(scheduling, cut_by=CUTS_A_REPLY)
        if undelivered is not None:
            return dead_letter(later.outcome, because=f"its next try couldn't be scheduled: {undelivered.detail}")
        return Complete()


def _call_of(request: Request, flow: FlowSpec, until: float | None) -> Call:
    body, content_type = body_for(request, flow)
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


def _too_large(outcome: Answered | Refused, to: ReturnAddress) -> Indeterminate:
    return Indeterminate(
        detail=f"The flow answered, but the answer is larger than a message on {to.queue!r} may be.",
        http_status=outcome.http_status,
        run_id=outcome.run_id,
        code=Reason.TOO_LARGE.value,
        attempts=outcome.attempts,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
