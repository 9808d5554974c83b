"""One event for each delivery, with its whole story: what `flowbridge explain` reads, and whoever keeps the logs."""

from typing import Final

import structlog

from worker.bridge.observed import Observed
from worker.core.attempt import Attempt
from worker.core.outcome import Outcome

_EXPECTED: Final = frozenset({Outcome.ANSWERED, Outcome.REFUSED, Outcome.EXPIRED, Outcome.REJECTED})

_log = structlog.stdlib.get_logger(__name__)


def log_observed(observed: Observed) -> None:
    """Durations in seconds; an attempt's `at_s` since its message was enqueued. What there is nothing of isn't said.

    `reply_s` and `elapsed_s` are since the request itself was, `earlier_s` of them before a copy of it was.
    """
    is_expected = (observed.outcome in _EXPECTED or observed.is_copied) and observed.defect is None
    say = _log.info if is_expected else _log.warning
    if observed.is_copied:
        say("request_moved", **_story(observed))
    else:
        say("request_ended", **_story(observed))


def _story(observed: Observed) -> dict[str, object]:
    told: dict[str, object] = {
        "request_id": observed.request_id,
        "correlation_id": observed.correlation_id,
        "sequence_number": observed.sequence_number,
        "delivery_count": observed.delivery_count,
        "delivery_attempt": observed.delivery_attempt or None,
        "flow": observed.flow,
        "reply_to": observed.reply_to,
        "outcome": observed.outcome,
        "reason": observed.reason,
        "held_back": observed.held_back,
        "retry_after_s": _rounded(observed.retry_after_s),
        "http_status": observed.http_status,
        "run_id": observed.run_id,
        "attempts": observed.attempts,
        "tries": [_try(attempt, observed) for attempt in observed.tries] if _is_worth_telling(observed) else None,
        "no_retry": observed.no_retry,
        "is_fetch": observed.is_fetch or None,
        "is_replay": observed.is_replay or None,
        "is_recalled": observed.is_recalled,
        "is_replied": observed.is_replied,
        "is_copied": observed.is_copied,
        "copy_in_s": _rounded(observed.copy_in_s),
        "settlement": observed.settlement,
        "dead_letter": observed.dead_letter,
        "description": observed.description,
        "settled": observed.settled,
        "earlier_s": _rounded(observed.earlier_s) or None,
        "queue_wait_s": _rounded(observed.queue_wait_s),
        "call_s": _rounded(observed.call_s),
        "reply_s": _rounded(observed.reply_s),
        "slack_s": _rounded(observed.slack_s),
        "elapsed_s": _rounded(observed.elapsed_s),
        "trace_id": observed.trace_id,
        "detail": observed.detail,
        "defect": observed.defect,
    }
    return {name: value for name, value in told.items() if value is not None}


def _is_worth_telling(observed: Observed) -> bool:
    """One attempt that brought an answer says no more than `call_s` and `http_status`."""
    if observed.outcome is None:
        return bool(observed.tries)
    return any(attempt.why is not None or attempt.ended_at is None for attempt in observed.tries)


def _try(attempt: Attempt, observed: Observed) -> dict[str, object]:
    told = {
        "at_s": _rounded(attempt.began_at - observed.times.enqueued_at),
        "took_s": None if attempt.ended_at is None else _rounded(attempt.ended_at - attempt.began_at),
        "status": attempt.status,
        "why": attempt.why,
        "may_have_run": attempt.may_have_run or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
