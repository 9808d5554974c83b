"""The answer as it goes to the reply queue."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from worker.core.decode import is_named, request_id_of
from worker.core.delivery import Delivery
from worker.core.outcome import (
    Answered,
    FlowBody,
    Outcome,
    Refused,
    RequestOutcome,
    Unavailable,
)
from worker.core.request import Request, ReturnAddress
from worker.core.trace import REPLY_PART, TRACE_PARENT, TraceContext
from worker.core.verdict import detail_of, http_status_of, kind_of, reason_of, run_id_of

PROBLEM_JSON = "application/problem+json"  # RFC 9457
MIN_TIME_TO_LIVE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`message_id` is derived from the request id, so a repeat is the same message to duplicate detection."""

    to: ReturnAddress
    message_id: str
    correlation_id: str
    body: bytes
    content_type: str | None
    time_to_live_s: float
    properties: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says of its own reply; all that is known even of one that can't be decoded."""

    request_id: str
    reply_correlation_id: str  # what the caller knows its request by
    conversation_id: str | None = None
    reply_ttl_s: float | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Why a reply or a copy didn't get onto its queue: refused for good, or not accepted in time."""

    detail: str
    is_too_large: bool = False  # above the queue's size limit: a shorter one would be taken
    is_late: bool = False  # not accepted in time


def asked_of(delivery: Delivery, request: Request | None, context: TraceContext | None) -> Asked:
    """`request` is None for a delivery that couldn't be decoded; its sender is answered all the same."""
    request_id = request_id_of(delivery)
    trace = {} if request is None else request.trace if context is None else context.headers(REPLY_PART)
    is_known_by_id = request_id == delivery.message_id or is_named(request_id)
    return Asked(
        request_id=request_id,
        reply_correlation_id=request_id if is_known_by_id else delivery.correlation_id or request_id,
        conversation_id=delivery.correlation_id,
        reply_ttl_s=None if request is None else request.reply_ttl_s,
        traceparent=trace.get(TRACE_PARENT),
    )


def compose(
    outcome: RequestOutcome, to: ReturnAddress, asked: Asked, *, enqueued_at: float, deadline: float | None, now: float
) -> Reply:
    """All times are on the loop's clock."""
    body = _flow_body(outcome)
    usable_s = 0.0 if deadline is None else deadline - now
    return Reply(
        to=to,
        message_id=_reply_id(to, asked.request_id),
        correlation_id=asked.reply_correlation_id,
        body=_problem(outcome, asked) if body is None else body.content,
        content_type=PROBLEM_JSON if body is None else body.content_type,
        time_to_live_s=max(MIN_TIME_TO_LIVE_S, usable_s, asked.reply_ttl_s or 0.0),
        properties=_properties(outcome, asked, elapsed_ms=max(0, round((now - enqueued_at) * 1000))),
    )


def _reply_id(to: ReturnAddress, request_id: str) -> str:
    """The session is part of it: two callers may number their requests alike, and both want an answer."""
    return hashlib.sha256(f"reply\0{to.queue}\0{to.session_id}\0{request_id}".encode()).hexdigest()[:32]


def _flow_body(outcome: RequestOutcome) -> FlowBody | None:
    return outcome.body if isinstance(outcome, Answered | Refused) else None


def _retry_after_s(outcome: RequestOutcome) -> int | None:
    if not isinstance(outcome, Unavailable) or outcome.retry_after_s is None:
        return None
    return max(1, math.ceil(outcome.retry_after_s))


def _properties(outcome: RequestOutcome, asked: Asked, *, elapsed_ms: int) -> dict[str, str | int]:
    values: dict[str, str | int | None] = {
        "outcome": kind_of(outcome).value,
        "request-id": asked.request_id,
        "conversation-id": asked.conversation_id,
        "http-status": http_status_of(outcome),
        "attempts": outcome.attempts,
        "elapsed-ms": elapsed_ms,
        "run-id": run_id_of(outcome),
        "retry-after-s": _retry_after_s(outcome),
        "reason": reason_of(outcome),
        "traceparent": asked.traceparent,
    }
    return {name: value for name, value in values.items() if value is not None}


def _problem(outcome: RequestOutcome, asked: Asked) -> bytes:
    kind = kind_of(outcome)
    problem = {
        "type": f"urn:flowbridge:outcome:{kind.value}",
        "title": _TITLES[kind],
        "status": _problem_status(outcome),
        "detail": detail_of(outcome),
        "request-id": asked.request_id,
        "reason": reason_of(outcome),
        "run-id": run_id_of(outcome),
        "retry-after-s": _retry_after_s(outcome),
    }
    present = {name: value for name, value in problem.items() if value is not None}
    return json.dumps(present, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _problem_status(outcome: RequestOutcome) -> int:
    if isinstance(outcome, Refused) and outcome.http_status is not None:
        return outcome.http_status
    return _STATUS[kind_of(outcome)]


_TITLES = {
    Outcome.ANSWERED: "The flow answered",
    Outcome.REFUSED: "The flow refused the request",
    Outcome.UNAVAILABLE: "The flow did not run",
    Outcome.INDETERMINATE: "The flow may have run, but no whole answer arrived",
    Outcome.EXPIRED: "The time was over before the flow was called",
    Outcome.REJECTED: "The request is wrong",
}
_STATUS = {
    Outcome.ANSWERED: HTTPStatus.OK,
    Outcome.REFUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.INDETERMINATE: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.EXPIRED: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.REJECTED: HTTPStatus.BAD_REQUEST,
}
