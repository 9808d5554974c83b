"""What becomes of each `Observed`: a line in the log, counts for Prometheus, the status page's last minutes, spans."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from worker.bridge.observed import Observed
from worker.core.outcome import Outcome
from worker.core.recent import Failure, Recent
from worker.core.redaction import fit_to_show
from worker.core.wait_used import WaitUsed
from worker.metrics.requests import NO_FLOW, RequestMetrics

MOVED: Final = "moved"  # beside the outcomes: a copy on the queue goes on with the request

_NO_FAILURES: Final = frozenset({Outcome.ANSWERED, None})
_LONGEST_ID: Final = 128  # of a message, at Service Bus
_LONGEST_DETAIL: Final = 500

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observing:
    """`takes_more`: whether nothing but the number of workers bounds the calls of a flow. `trace`: where any is."""

    log: Callable[[Observed], None]
    metrics: RequestMetrics
    recent: Recent
    wait_used: WaitUsed
    takes_more: Callable[[str], bool]
    trace: Callable[[Observed], None] | None = None

    def note(self, observed: Observed) -> None:
        """Never raises: a lane calls this, and what is told of one delivery must not cost others their lane."""
        for look in (self.log, self.metrics.note, self._note_recent, self._note_wait, self.trace):
            try:
                if look is not None:
                    look(observed)
            except Exception:  # noqa: BLE001 - whatever it is, it was ours
                _log.exception("observing_failed", request_id=observed.request_id)

    def _note_recent(self, observed: Observed) -> None:
        flow, at = observed.flow or NO_FLOW, time.time()
        if observed.is_copied:
            self.recent.note(flow, MOVED, took_s=None, at=at)
        elif observed.is_ended and observed.outcome is not None:
            self.recent.note(flow, observed.outcome.value, took_s=_took_s(observed), at=at)
        if observed.held_back is not None:
            return  # by our own limits: what made them tighter says more of the flow
        if observed.outcome not in _NO_FAILURES or observed.defect is not None:
            self.recent.note_failure(flow, _failure(observed, at))

    def _note_wait(self, observed: Observed) -> None:
        times, flow = observed.times, observed.flow
        if observed.delivery_count or observed.delivery_attempt:
            return  # an earlier delivery's lock, or a delay of our own, is no wait for a worker
        if times.deadline is not None and flow is not None and self.takes_more(flow):
            self.wait_used.note(
                waited_s=observed.queue_wait_s,
                allowed_s=times.deadline - times.enqueued_at,
                call_s=observed.call_s,
                now=asyncio.get_running_loop().time(),
            )


def _took_s(observed: Observed) -> float | None:
    """As long as a caller waited for the answer; to its settlement where nobody does. Unknown of a reply before this
    delivery's.
    """
    if observed.outcome is not Outcome.ANSWERED:
        return None
    return observed.elapsed_s if observed.reply_to is None else observed.reply_s


def _failure(observed: Observed, at: float) -> Failure:
    """It is kept, and shown to whoever asks: so none of it is long, or secret."""
    detail = observed.detail or observed.defect
    return Failure(
        at=at,
        outcome="defect" if observed.outcome is None else observed.outcome.value,
        reason=observed.dead_letter or observed.reason,
        http_status=observed.http_status,
        request_id=fit_to_show(observed.request_id, _LONGEST_ID),
        run_id=None if observed.run_id is None else fit_to_show(observed.run_id, _LONGEST_ID),
        detail=None if detail is None else fit_to_show(detail, _LONGEST_DETAIL),
    )
