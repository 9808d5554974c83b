"""How a request can end for its caller."""

from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import TypeAlias


class Outcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    INDETERMINATE = "indeterminate"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Dead-letter reasons; operators filter by them, so they are never renamed."""

    MALFORMED = "Malformed"
    TRUNCATED = "Truncated"
    UNROUTABLE = "Unroutable"
    RETURN_ADDRESS_NOT_ALLOWED = "ReturnAddressNotAllowed"
    RETURN_ADDRESS_INVALID = "ReturnAddressInvalid"
    TOO_LARGE = "TooLarge"
    EXPIRED = "Expired"
    REPLY_UNDELIVERABLE = "ReplyUndeliverable"
    FLOW_REFUSED = "FlowRefused"
    FLOW_UNAVAILABLE = "FlowUnavailable"
    FLOW_INDETERMINATE = "FlowIndeterminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowBody:
    """A body that a flow's run wrote, byte for byte."""

    content: bytes
    content_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The run answered 2xx."""

    http_status: int
    body: FlowBody
    run_id: str | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Trying again won't change it. `body` is set when the run itself said so; `code` is the trigger's error code."""

    http_status: int | None
    detail: str
    attempts: int
    body: FlowBody | None = None
    run_id: str | None = None
    code: str | None = None


class HeldBack(StrEnum):
    """What of our own kept a call back, as the log names it. Waiting for it costs no try."""

    CIRCUIT = auto()
    PLACE = auto()  # the flow has all the slots that it may have
    TOKEN = auto()
    STOP = auto()  # of the worker


class NoRetry(StrEnum):
    """Why a flow that was called isn't called again, as the log names it."""

    NOT_IDEMPOTENT = "not-idempotent"
    ATTEMPTS_SPENT = "attempts-spent"
    NO_TIME = "no-time"
    BUDGET_SPENT = "budget-spent"
    ASKED_TO_WAIT = "asked-to-wait"  # longer than a call that nobody waits for is held
    CIRCUIT = "circuit"
    PLACE = "place"
    TOKEN = "token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """The flow surely did not run. `attempts` is 0 when it was never called."""

    detail: str
    attempts: int
    http_status: int | None = None
    retry_after_s: float | None = None
    code: str | None = None
    held_back: HeldBack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indeterminate:
    """The flow may have run; no whole answer arrived."""

    detail: str
    attempts: int
    http_status: int | None = None
    run_id: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """No outcome yet: the run goes on, and its answer is to be fetched at `location`, which may hold a signature."""

    location: str = field(repr=False)
    retry_after_s: float | None
    run_id: str | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """The deadline passed, or too little time was left, before the flow was called."""

    detail: str
    code: str | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The request itself is wrong; `reason` is also its dead-letter reason."""

    reason: Reason
    detail: str
    attempts: int = 0


def in_doubt(outcome: Unavailable | Expired, why: str) -> Indeterminate:
    """What is left to say where somebody else may have called the flow; `why` is a sentence."""
    return Indeterminate(detail=f"{outcome.detail} {why}", attempts=outcome.attempts)


def lost_sight_of(running: Running, why: str) -> Indeterminate:
    """What is left of a run whose answer can't be fetched; `why` follows a comma."""
    return Indeterminate(
        detail=f"The flow runs and answered HTTP 202, but {why}.",
        attempts=running.attempts,
        http_status=202,
        run_id=running.run_id,
    )


def too_large(answer: Answered | Refused, detail: str) -> Indeterminate:
    """What is left of an answer that can't be passed on or kept; `detail` says why."""
    return Indeterminate(
        detail=detail,
        attempts=answer.attempts,
        http_status=answer.http_status,
        run_id=answer.run_id,
        code=Reason.TOO_LARGE.value,
    )


FlowOutcome: TypeAlias = Answered | Refused | Unavailable | Indeterminate | Expired
RequestOutcome: TypeAlias = FlowOutcome | Rejected
