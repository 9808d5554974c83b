"""One slot: the work on one delivery from its arrival to the settlement that its lane is to say."""

import asyncio
from dataclasses import dataclass

import structlog

from worker.bridge.leash import CUTS_A_WAIT, CutReason, CutShort
from worker.bridge.observed import Observed, Times
from worker.bridge.process import Passage
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.outcome import Indeterminate, Unavailable
from worker.core.redelivery import first_enqueued_at, is_replay
from worker.core.request import ReturnAddress
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement
from worker.core.trace import parent_of
from worker.core.verdict import detail_of, http_status_of, kind_of, reason_of, run_id_of

_LONGEST_PAUSE_S = 30.0
_SETTLED_AGAIN_S = 0.5
_LONGEST_UNCONFIRMED_S = 8.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """`settlement` is set once the work has ended; lock times are its lane's to keep."""

    passage: Passage
    started_at: float
    asked_at: float | None = None  # when the receive that brought it began
    locked_until: float = 0.0
    renew_at: float = float("inf")
    expiry: asyncio.TimerHandle | None = None
    settlement: Settlement | None = None
    settle_at: float = 0.0  # once it has ended
    settling_at: float | None = None
    unconfirmed: int = 0  # settlements said, of which nothing was heard
    defect: str | None = None

    @property
    def delivery(self) -> Delivery:
        return self.passage.delivery

    async def work(self) -> None:
        """Never raises but for cancellation: our own defect ends as an abandoned message."""
        try:
            self.settlement = await self.passage.process()
        except Exception as defect:  # noqa: BLE001 - whatever it is, the request must end
            self.defect = f"{type(defect).__name__}: {defect}"
            _log.exception(
                "bridge_defect",
                request_id=request_id_of(self.delivery),
                sequence_number=self.delivery.sequence_number,
                delivery_count=self.delivery.delivery_count,
            )
            self.settlement = await self._after_defect()

    async def _after_defect(self) -> Abandon | LeaveLocked:
        """Tell the caller, wait longer each time, then give the message back."""
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(self.delivery.delivery_count, 10))
        try:
            await self._tell_caller()
            await self.passage.leash.hold(asyncio.sleep(pause_s), cut_by=CUTS_A_WAIT)
        except CutShort as cut:
            return LeaveLocked() if cut.reason is CutReason.LOCK_LOST else Abandon()
        return Abandon()

    async def _tell_caller(self) -> None:
        try:
            await self.passage.answer_after_defect()
        except CutShort:
            raise
        except Exception:  # noqa: BLE001 - likely the same defect again; the message goes back all the same
            _log.exception(
                "bridge_defect_untold",
                request_id=request_id_of(self.delivery),
                sequence_number=self.delivery.sequence_number,
            )

    def settle_later(self, now: float) -> None:
        self.settle_at = now + min(_LONGEST_UNCONFIRMED_S, _SETTLED_AGAIN_S * 2.0 ** min(self.unconfirmed, 10))
        self.unconfirmed += 1

    def finish(self, settled: Settled, now: float) -> Observed:
        """What comes again stays in memory."""
        if self.expiry is not None:
            self.expiry.cancel()
        if settled is Settled.DONE and isinstance(self.settlement, Complete | DeadLetter):
            self.passage.bridge.recall.forget(self.delivery)
        return self.observed(settled, now)

    def observed(self, settled: Settled, now: float) -> Observed:
        passage, delivery = self.passage, self.passage.delivery
        outcome, flow, request = passage.outcome, passage.flow, passage.request
        dead = self.settlement if isinstance(self.settlement, DeadLetter) else None
        return Observed(
            request_id=request_id_of(delivery),
            correlation_id=delivery.correlation_id,
            sequence_number=delivery.sequence_number,
            delivery_count=delivery.delivery_count,
            delivery_attempt=0 if request is None else request.delivery_attempt,
            flow=None if flow is None else flow.name,
            outcome=None if outcome is None else kind_of(outcome),
            reason=None if outcome is None else reason_of(outcome),
            http_status=None if outcome is None else http_status_of(outcome),
            run_id=None if outcome is None else run_id_of(outcome),
            attempts=0 if outcome is None else outcome.attempts,
            tries=passage.calling.tries,
            no_retry=passage.calling.no_retry if isinstance(outcome, Unavailable | Indeterminate) else None,
            is_fetch=request is not None and request.fetch is not None,
            is_replay=is_replay(delivery),
            is_recalled=passage.is_recalled,
            is_replied=passage.is_replied,
            copy_in_s=passage.copying.copy_in_s,
            settlement=type(self.settlement).__name__,
            dead_letter=None if dead is None else dead.reason.value,
            settled=settled,
            call_s=passage.calling.call_s,
            times=Times(
                first_enqueued_at=first_enqueued_at(delivery),
                enqueued_at=delivery.enqueued_at,
                asked_at=self.asked_at,
                started_at=self.started_at,
                deadline=passage.deadline,
                reply_began_at=passage.reply_began_at,
                replied_at=passage.replied_at,
                settling_at=self.settling_at,
                ended_at=now,
            ),
            trace_id=_trace_id_of(passage),
            context=passage.context,
            reply_to=passage.destination.queue if isinstance(passage.destination, ReturnAddress) else None,
            held_back=outcome.held_back if isinstance(outcome, Unavailable) else None,
            retry_after_s=outcome.retry_after_s if isinstance(outcome, Unavailable) else None,
            description=None if dead is None else dead.description,
            detail=None if outcome is None else detail_of(outcome),
            defect=self.defect,
        )


def _trace_id_of(passage: Passage) -> str | None:
    if passage.context is not None:
        return passage.context.trace_id
    if passage.request is None or not passage.request.trace:
        return None
    parent = parent_of(passage.request.trace)
    return None if parent is None else parent.trace_id
