"""What is told of each delivery: the one record behind log, metrics and tests."""

from dataclasses import dataclass

from worker.core.outcome import Outcome
from worker.core.settlement import Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One delivery, from queue to settlement. `flow` is None where no route was found.

    `outcome` is None for a delivery given back unanswered, or whose copy fetches the answer; `defect` names our own
    error, if that was why.
    """

    request_id: str
    correlation_id: str | None
    sequence_number: int
    delivery_count: int
    flow: str | None
    outcome: Outcome | None
    reason: str | None
    http_status: int | None
    run_id: str | None
    attempts: int
    is_recalled: bool  # answered from memory, without a call
    is_replied: bool
    is_copied: bool  # a copy on the queue goes on with it
    settlement: str
    settled: Settled
    queue_wait_s: float
    call_s: float
    elapsed_s: float  # enqueued to settled
    detail: str | None = None
    defect: str | None = None
