"""One slot: the work on one delivery from its arrival to the settlement that its lane is to say."""

import asyncio
from dataclasses import dataclass

import structlog

from worker.bridge.leash import CUTS_A_WAIT, CutReason, CutShort
from worker.bridge.observed import Observed
from worker.bridge.process import Passage
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement
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
    locked_until: float = 0.0
    renew_at: float = float("inf")
    expiry: asyncio.TimerHandle | None = None
    settlement: Settlement | None = None
    settle_at: float = 0.0  # once it has ended
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
            _log.exception("bridge_defect_untold", sequence_number=self.delivery.sequence_number)

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
        outcome, flow = self.passage.outcome, self.passage.flow
        return Observed(
            request_id=request_id_of(self.delivery),
            correlation_id=self.delivery.correlation_id,
            sequence_number=self.delivery.sequence_number,
            delivery_count=self.delivery.delivery_count,
            flow=None if flow is None else flow.name,
            outcome=None if outcome is None else kind_of(outcome),
            reason=None if outcome is None else reason_of(outcome),
            http_status=None if outcome is None else http_status_of(outcome),
            run_id=None if outcome is None else run_id_of(outcome),
            attempts=0 if outcome is None else outcome.attempts,
            is_recalled=self.passage.is_recalled,
            is_replied=self.passage.is_replied,
            is_copied=self.passage.copying.is_copied,
            settlement=type(self.settlement).__name__,
            settled=settled,
            queue_wait_s=max(0.0, self.started_at - self.delivery.enqueued_at),
            call_s=self.passage.calling.call_s,
            elapsed_s=max(0.0, now - self.delivery.enqueued_at),
            detail=None if outcome is None else detail_of(outcome),
            defect=self.defect,
        )
