"""What one delivery's event says, typed. Lines of another version, or by another hand, may lack or garble any of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any, Final, TypeVar, assert_never

from worker.core.outcome import HeldBack, NoRetry, Outcome, Reason
from worker.core.settlement import Settled
from worker.core.story.lines import Entry

E = TypeVar("E", bound=StrEnum)

ENDED: Final = "request_ended"
MOVED: Final = "request_moved"

_LONGEST_S: Final = 1e9  # what is beyond was never measured
_DURATIONS: Final = ("copy_in_s", "retry_after_s", "reply_s", "earlier_s", "queue_wait_s", "call_s", "elapsed_s")


class _Said(StrEnum):
    """The settlement that was said to the broker."""

    COMPLETE = "Complete"
    ABANDON = "Abandon"
    DEAD_LETTER = "DeadLetter"
    LEAVE_LOCKED = "LeaveLocked"


class Leaving(Enum):
    """How a delivery left the worker."""

    COMPLETED = auto()
    MOVED = auto()  # completed, after a copy went onto the queue
    DEAD_LETTERED = auto()
    GIVEN_BACK = auto()
    LOCK_LOST = auto()
    UNCONFIRMED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One HTTP request to the flow; `at_s` since its message was enqueued."""

    at_s: float
    took_s: float | None
    status: int | None
    why: str | None
    may_have_run: bool

    @property
    def is_failed(self) -> bool:
        return self.why is not None or self.took_s is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`at`: when the delivery ended, in epoch seconds. Names are the log's."""

    at: float
    source: str | None
    file: str | None
    request_id: str
    correlation_id: str | None
    sequence_number: int | None
    delivery_count: int
    delivery_attempt: int
    flow: str | None
    reply_to: str | None
    outcome: Outcome | None
    reason: str | None
    held_back: HeldBack | None
    retry_after_s: float | None
    http_status: int | None
    run_id: str | None
    attempts: int
    tries: tuple[Try, ...]
    no_retry: NoRetry | None
    is_fetch: bool
    is_replay: bool
    is_recalled: bool
    is_replied: bool
    copy_in_s: float | None
    leaving: Leaving
    dead_letter: Reason | None
    description: str | None
    earlier_s: float
    queue_wait_s: float
    call_s: float
    reply_s: float | None
    slack_s: float | None
    elapsed_s: float
    trace_id: str | None
    detail: str | None
    defect: str | None

    @property
    def first_enqueued_at(self) -> float:
        """The request itself."""
        return self.at - self.elapsed_s

    @property
    def enqueued_at(self) -> float:
        """The copy of it that this is a delivery of."""
        return min(self.first_enqueued_at + self.earlier_s, self.at)

    @property
    def taken_at(self) -> float:
        return min(self.enqueued_at + self.queue_wait_s, self.at)

    @property
    def calls(self) -> int:
        """Requests to the flow that were made for this delivery; all of them are told of only where one failed."""
        if self.tries or self.is_recalled or self.is_fetch or not self.call_s:
            return len(self.tries)
        return self.attempts

    @property
    def replied_at(self) -> float:
        """For one that is replied."""
        return self.at if self.reply_s is None else self.first_enqueued_at + min(self.reply_s, self.elapsed_s)


def record_of(entry: Entry) -> Record | None:
    """None where the event is none of a delivery's."""
    fields = entry.fields
    request_id = text(fields, "request_id")
    if entry.event not in {ENDED, MOVED} or request_id is None:
        return None
    seconds = {name: _seconds(fields, name) for name in _DURATIONS}
    tries = fields.get("tries")
    return Record(
        at=entry.at,
        source=worker_of(entry),
        file=entry.file,
        request_id=request_id,
        correlation_id=text(fields, "correlation_id"),
        sequence_number=whole(fields, "sequence_number"),
        delivery_count=whole(fields, "delivery_count") or 0,
        delivery_attempt=whole(fields, "delivery_attempt") or 0,
        flow=text(fields, "flow"),
        reply_to=text(fields, "reply_to"),
        outcome=_member(Outcome, fields.get("outcome")),
        reason=text(fields, "reason"),
        held_back=_member(HeldBack, fields.get("held_back")),
        retry_after_s=seconds["retry_after_s"],
        http_status=whole(fields, "http_status"),
        run_id=text(fields, "run_id"),
        attempts=whole(fields, "attempts") or 0,
        tries=tuple(map(_try, filter(_is_object, tries))) if isinstance(tries, list) else (),
        no_retry=_member(NoRetry, fields.get("no_retry")),
        is_fetch=fields.get("is_fetch") is True,
        is_replay=fields.get("is_replay") is True,
        is_recalled=fields.get("is_recalled") is True,
        is_replied=fields.get("is_replied") is True,
        copy_in_s=seconds["copy_in_s"],
        leaving=_leaving(fields),
        dead_letter=_member(Reason, fields.get("dead_letter")),
        description=text(fields, "description"),
        earlier_s=seconds["earlier_s"] or 0.0,
        queue_wait_s=seconds["queue_wait_s"] or 0.0,
        call_s=seconds["call_s"] or 0.0,
        reply_s=seconds["reply_s"],
        slack_s=number(fields, "slack_s"),
        elapsed_s=seconds["elapsed_s"] or 0.0,
        trace_id=text(fields, "trace_id"),
        detail=text(fields, "detail"),
        defect=text(fields, "defect"),
    )


def worker_of(entry: Entry) -> str | None:
    process = whole(entry.fields, "process")
    told = None if process is None else f"process {process}"
    return ", ".join(filter(None, (entry.source, told))) or None


def text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def whole(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LONGEST_S else None


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    value = number(fields, name)
    return None if value is None else max(0.0, value)


def _try(told: Mapping[str, Any]) -> Try:
    return Try(
        at_s=_seconds(told, "at_s") or 0.0,
        took_s=_seconds(told, "took_s"),
        status=whole(told, "status"),
        why=text(told, "why"),
        may_have_run=told.get("may_have_run") is True,
    )


def _leaving(fields: Mapping[str, Any]) -> Leaving:
    settled, said = _member(Settled, fields.get("settled")), _member(_Said, fields.get("settlement"))
    if settled is None or said is None:
        return Leaving.UNKNOWN
    match settled:
        case Settled.LOCK_LOST:
            return Leaving.LOCK_LOST
        case Settled.FAILED:
            return Leaving.UNCONFIRMED
        case Settled.DONE:
            return _left(said, is_copied=fields.get("is_copied") is True)
        case _:
            assert_never(settled)


def _left(said: _Said, *, is_copied: bool) -> Leaving:
    match said:
        case _Said.COMPLETE:
            return Leaving.MOVED if is_copied else Leaving.COMPLETED
        case _Said.ABANDON:
            return Leaving.GIVEN_BACK
        case _Said.DEAD_LETTER:
            return Leaving.DEAD_LETTERED
        case _Said.LEAVE_LOCKED:
            return Leaving.LOCK_LOST
        case _:
            assert_never(said)


def _member(kind: type[E], value: object) -> E | None:
    return next((member for member in kind if member.value == value), None)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)
