"""What becomes of each `Observed`: a line in the log, counts for Prometheus, the status page's last minutes, spans."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.bridge.observed import Observed
from worker.core.outcome import Outcome
from worker.core.recent import Failure, Recent
from worker.core.wait_used import WaitUsed
from worker.metrics.requests import NO_FLOW, RequestMetrics

MOVED: Final = "moved"  # beside the outcomes: a copy on the queue goes on with the request

_NO_FAILURES: Final = frozenset({Outcome.ANSWERED, None})


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
        self.log(observed)
        self.metrics.note(observed)
        self._note_recent(observed, time.time())
        self._note_wait(observed)
        if self.trace is not None:
            self.trace(observed)

    def _note_recent(self, observed: Observed, at: float) -> None:
        flow = observed.flow or NO_FLOW
        if observed.is_copied:
            self.recent.note(flow, MOVED, took_s=None, at=at)
        elif observed.is_ended and observed.outcome is not None:
            took_s = observed.elapsed_s if observed.outcome is Outcome.ANSWERED else None
            self.recent.note(flow, observed.outcome.value, took_s=took_s, at=at)
        if observed.outcome not in _NO_FAILURES or observed.defect is not None:
            self.recent.note_failure(flow, _failure(observed, at))

    def _note_wait(self, observed: Observed) -> None:
        times, flow = observed.times, observed.flow
        if times.deadline is not None and flow is not None and self.takes_more(flow):
            self.wait_used.note(
                waited_s=observed.queue_wait_s,
                allowed_s=times.deadline - times.enqueued_at,
                call_s=observed.call_s,
                now=asyncio.get_running_loop().time(),
            )


def _failure(observed: Observed, at: float) -> Failure:
    return Failure(
        at=at,
        outcome="defect" if observed.outcome is None else observed.outcome.value,
        reason=observed.dead_letter or observed.reason,
        http_status=observed.http_status,
        request_id=observed.request_id,
        run_id=observed.run_id,
        detail=observed.detail or observed.defect,
    )
