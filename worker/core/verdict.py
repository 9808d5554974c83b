"""What becomes of a request once its outcome is known."""

from dataclasses import dataclass
from typing import assert_never

from worker.core.outcome import (
    Answered,
    Expired,
    HeldBack,
    Indeterminate,
    Outcome,
    Reason,
    Refused,
    Rejected,
    RequestOutcome,
    Unavailable,
)
from worker.core.redaction import redact
from worker.core.request import Destination, OneWay, ReturnAddress
from worker.core.settlement import Complete, DeadLetter

# An open circuit is no queue: callers who can wait for it have waited.
_COMES_TO_ITS_TURN = frozenset({HeldBack.PLACE, HeldBack.TOKEN, HeldBack.STOP})
_MAX_DESCRIPTION_BYTES = 4000  # of UTF-16; the broker takes 4,096


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLater:
    """A copy is scheduled, if a further try is left and comes in time, and the original completed."""

    outcome: Unavailable | Indeterminate


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Reply first, where there is somebody to reply to; then settle. A copy that comes again takes the reply along."""

    reply_to: ReturnAddress | None
    then: Complete | DeadLetter | TryLater


def judge(outcome: RequestOutcome, destination: Destination, *, is_idempotent: bool) -> Verdict:
    match destination:
        case ReturnAddress():
            if isinstance(outcome, Unavailable) and outcome.held_back in _COMES_TO_ITS_TURN:
                return Verdict(reply_to=destination, then=TryLater(outcome=outcome))
            # A rejected request is kept as well as answered: its sender has something to repair.
            then = dead_letter(outcome) if isinstance(outcome, Rejected) else Complete()
            return Verdict(reply_to=destination, then=then)
        case OneWay():
            return Verdict(reply_to=None, then=_end_of_one_way(outcome, is_idempotent=is_idempotent))
        case _:
            assert_never(destination)


def _end_of_one_way(outcome: RequestOutcome, *, is_idempotent: bool) -> Complete | DeadLetter | TryLater:
    match outcome:
        case Answered():
            return Complete()
        case Unavailable():
            return TryLater(outcome=outcome)
        case Indeterminate() if is_idempotent:
            return TryLater(outcome=outcome)
        case _:
            return dead_letter(outcome)


def dead_letter(outcome: RequestOutcome, *, because: str = "") -> DeadLetter:
    """`because` says why there is no further try."""
    return DeadLetter(
        reason=_dead_letter_reason(outcome),
        description=_fit_for_broker("; ".join(filter(None, (describe(outcome), because)))),
    )


def undeliverable(outcome: RequestOutcome, why: str) -> DeadLetter:
    """The answer exists but couldn't be published: the description is all that is left of it."""
    return DeadLetter(
        reason=Reason.REPLY_UNDELIVERABLE,
        description=_fit_for_broker(f"{why}; the undelivered answer was: {describe(outcome)}"),
    )


def describe(outcome: RequestOutcome) -> str:
    """One line for a person: outcome, status, run and what happened; never the body."""
    status, reason, run_id = http_status_of(outcome), reason_of(outcome), run_id_of(outcome)
    facts = [
        kind_of(outcome).value,
        f"HTTP {status}" if status is not None else "",
        reason or "",
        f"run {run_id}" if run_id else "",
        f"{outcome.attempts} attempt{'' if outcome.attempts == 1 else 's'}",
    ]
    return f"{', '.join(filter(None, facts))}: {detail_of(outcome)}"


def detail_of(outcome: RequestOutcome) -> str:
    """For a person. It may quote what a sender wrote, in which secrets stand where nobody expects them."""
    return "the flow answered" if isinstance(outcome, Answered) else redact(outcome.detail)


def reason_of(outcome: RequestOutcome) -> str | None:
    """A dead-letter reason, or the flow's own error code."""
    match outcome:
        case Rejected():
            return outcome.reason.value
        case Answered():
            return None
        case _:
            return outcome.code


def kind_of(outcome: RequestOutcome) -> Outcome:
    match outcome:
        case Answered():
            return Outcome.ANSWERED
        case Refused():
            return Outcome.REFUSED
        case Unavailable():
            return Outcome.UNAVAILABLE
        case Indeterminate():
            return Outcome.INDETERMINATE
        case Expired():
            return Outcome.EXPIRED
        case Rejected():
            return Outcome.REJECTED
        case _:
            assert_never(outcome)


def http_status_of(outcome: RequestOutcome) -> int | None:
    return None if isinstance(outcome, Expired | Rejected) else outcome.http_status


def run_id_of(outcome: RequestOutcome) -> str | None:
    return outcome.run_id if isinstance(outcome, Answered | Refused | Indeterminate) else None


def _fit_for_broker(description: str) -> str:
    """Whole characters, none of them half of a surrogate pair: JSON may spell it, but no broker takes it."""
    encoded = redact(description).encode("utf-16-le", errors="replace")
    return encoded[:_MAX_DESCRIPTION_BYTES].decode("utf-16-le", errors="ignore")


def _dead_letter_reason(outcome: RequestOutcome) -> Reason:
    match outcome:
        case Rejected():
            return outcome.reason
        case Refused():
            return Reason.FLOW_REFUSED
        case Unavailable():
            return Reason.FLOW_UNAVAILABLE
        case Indeterminate():
            return Reason.FLOW_INDETERMINATE
        case Expired():
            return Reason.EXPIRED
        case Answered():
            raise AssertionError("an answered request is completed, never dead-lettered")
        case _:
            assert_never(outcome)
