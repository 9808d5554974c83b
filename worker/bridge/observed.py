"""What is told of each delivery: the one record behind log, metrics, traces, status page and tests."""

from dataclasses import dataclass
from typing import Final

from worker.core.attempt import Attempt
from worker.core.outcome import HeldBack, NoRetry, Outcome
from worker.core.settlement import Complete, DeadLetter, Settled
from worker.core.trace import TraceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """On the loop's clock. Of the reply: None where there was none to publish, or it didn't end.

    `first_enqueued_at`: the request itself; of a copy that is before `enqueued_at`.
    """

    first_enqueued_at: float
    enqueued_at: float
    asked_at: float | None  # when the receive began that brought it, where that is known
    started_at: float
    deadline: float | None
    reply_began_at: float | None
    replied_at: float | None
    settling_at: float | None
    ended_at: float


_LAST: Final = frozenset({Complete.__name__, DeadLetter.__name__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One delivery, from queue to settlement. `flow` is None where no route was found.

    `is_fetch`: a copy that never calls, but fetches the answer of a run.

    `outcome` is None for a delivery given back unanswered, or whose copy fetches the answer; `defect` names our own
    error, if that was why. `trace_id` is known also where nothing is traced, from the request.
    """

    request_id: str
    correlation_id: str | None
    sequence_number: int
    delivery_count: int
    delivery_attempt: int  # copies of the request before this one
    flow: str | None
    outcome: Outcome | None
    reason: str | None
    http_status: int | None
    run_id: str | None
    attempts: int
    tries: tuple[Attempt, ...]  # made for this delivery
    no_retry: NoRetry | None  # after them
    is_fetch: bool
    is_replay: bool
    is_recalled: bool  # answered from memory, without a call
    is_replied: bool
    copy_in_s: float | None  # a copy on the queue goes on with it, after so long
    settlement: str
    dead_letter: str | None  # its reason
    settled: Settled
    call_s: float
    times: Times
    trace_id: str | None = None
    context: TraceContext | None = None
    reply_to: str | None = None  # the queue where its sender waits; None also where the return address is wrong
    held_back: HeldBack | None = None
    retry_after_s: float | None = None
    description: str | None = None  # of the dead letter
    detail: str | None = None
    defect: str | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nobody gets this delivery again; the request goes on where it is copied."""
        return self.settled is Settled.DONE and self.settlement in _LAST

    @property
    def is_copied(self) -> bool:
        return self.copy_in_s is not None

    @property
    def earlier_s(self) -> float:
        """From the request's enqueueing to that of the copy which this is a delivery of."""
        return max(0.0, self.times.enqueued_at - self.times.first_enqueued_at)

    @property
    def queue_wait_s(self) -> float:
        """Of this delivery."""
        return max(0.0, self.times.started_at - self.times.enqueued_at)

    @property
    def elapsed_s(self) -> float:
        """The request enqueued, to settled."""
        return max(0.0, self.times.ended_at - self.times.first_enqueued_at)

    @property
    def reply_s(self) -> float | None:
        """The request enqueued, to published."""
        replied_at = self.times.replied_at
        return None if replied_at is None else max(0.0, replied_at - self.times.first_enqueued_at)

    @property
    def slack_s(self) -> float | None:
        """What was left of the deadline when the reply was out; negative where it came too late."""
        times = self.times
        return None if times.replied_at is None or times.deadline is None else times.deadline - times.replied_at
