"""An answer as its caller sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.delivery import Delivery, PropertyValue
from worker.core.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedReply:
    """What became of one request.

    `body` and `content_type` are the flow's own, byte for byte, where a run answered; else an RFC 9457 problem
    document. `attempts` is 0 where the flow was never called. `reason` is a dead-letter reason or the flow's error
    code. `retry_after_s` says when asking again makes sense. What the reply did not say is None.
    """

    outcome: Outcome
    request_id: str
    correlation_id: str | None
    http_status: int | None
    attempts: int | None
    elapsed_ms: int | None
    run_id: str | None
    reason: str | None
    retry_after_s: int | None
    content_type: str | None
    body: bytes
    properties: Mapping[str, PropertyValue]


def read_reply(delivery: Delivery, *, request_id: str) -> TypedReply:
    """A reply that names no known outcome wasn't written by the bridge: what it means is `indeterminate`."""
    properties = delivery.properties
    return TypedReply(
        outcome=_outcome(properties.get("outcome")),
        request_id=request_id,
        correlation_id=_text(properties, "conversation-id"),
        http_status=_number(properties, "http-status"),
        attempts=_number(properties, "attempts"),
        elapsed_ms=_number(properties, "elapsed-ms"),
        run_id=_text(properties, "run-id"),
        reason=_text(properties, "reason"),
        retry_after_s=_number(properties, "retry-after-s"),
        content_type=delivery.content_type,
        body=delivery.body or b"",
        properties=properties,
    )


def _outcome(value: PropertyValue) -> Outcome:
    return Outcome(value) if isinstance(value, str) and value in set(Outcome) else Outcome.INDETERMINATE


def _text(properties: Mapping[str, PropertyValue], name: str) -> str | None:
    value = properties.get(name)
    return value if isinstance(value, str) else None


def _number(properties: Mapping[str, PropertyValue], name: str) -> int | None:
    value = properties.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
