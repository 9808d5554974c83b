"""What spans say, in the words of OpenTelemetry's semantic conventions 1.44, and ours beginning with `flowbridge.`."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from yarl import URL

from worker.bridge.observed import Observed
from worker.core.attempt import Attempt
from worker.core.flow_spec import FlowSpec
from worker.tracing.spec import TraceSpec

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

Value: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, Value]

ERROR_TYPE: Final = "error.type"
CANCELLED: Final = "cancelled"
NO_WHOLE_ANSWER: Final = "no_whole_answer"

# By the class of our own settlement; what is left locked is said to nobody.
SETTLEMENTS: Final[Mapping[str, str]] = {"Complete": "complete", "DeadLetter": "dead_letter", "Abandon": "abandon"}


def operation(kind: str, name: str) -> Attributes:
    return {"messaging.operation.type": kind, "messaging.operation.name": name}


def of_bus(spec: TraceSpec, destination: str) -> Attributes:
    return _known(
        {
            "messaging.system": "servicebus",
            "messaging.destination.name": destination,
            "server.address": spec.bus_host,
            "server.port": spec.bus_port,
        }
    )


def of_requests(spec: TraceSpec) -> Attributes:
    return _known(
        {**of_bus(spec, spec.requests_from), "messaging.destination.subscription.name": spec.subscription},
    )


def of_request(observed: Observed) -> Attributes:
    """A copy has its request's id too: that is what its sender knows it by."""
    return _known(
        {
            "messaging.message.id": observed.request_id,
            "messaging.message.conversation_id": observed.correlation_id,
        }
    )


def of_delivery(observed: Observed, enqueued_s: int) -> Attributes:
    return _known(
        {
            "messaging.servicebus.message.delivery_count": observed.delivery_count or None,
            "messaging.servicebus.message.enqueued_time": enqueued_s,
        }
    )


def of_work(observed: Observed) -> Attributes:
    return _known(
        {
            "flowbridge.flow": observed.flow,
            "flowbridge.outcome": None if observed.outcome is None else observed.outcome.value,
            "flowbridge.reason": observed.reason,
            "flowbridge.run_id": observed.run_id,
            "flowbridge.attempts": observed.attempts,
            "flowbridge.recalled": observed.is_recalled or None,
            "flowbridge.delivery_attempt": observed.delivery_attempt or None,
            "flowbridge.copy_in_s": observed.copy_in_s,
            "flowbridge.dead_letter": observed.dead_letter,
        }
    )


def of_settlement(name: str) -> Attributes:
    return {**operation("settle", name), "messaging.servicebus.disposition_status": name}


def of_flow(flow: FlowSpec) -> Attributes:
    """Without the query, in which a flow's key may be."""
    url = URL(flow.url)
    return _known(
        {
            "http.request.method": flow.method,
            "server.address": url.host,
            "server.port": url.port,
            "url.full": str(url.with_user(None).with_query(None).with_fragment(None)),
            "flowbridge.flow": flow.name,
        }
    )


def of_attempt(attempt: Attempt, resends: int) -> Attributes:
    return _known(
        {
            "http.response.status_code": attempt.status,
            "http.request.resend_count": resends or None,
            ERROR_TYPE: _error_of(attempt),
        }
    )


def _error_of(attempt: Attempt) -> str | None:
    if attempt.ended_at is None:
        return CANCELLED
    if attempt.status is not None and attempt.status >= (400 if attempt.why is None else 300):
        return str(attempt.status)
    return None if attempt.why is None else NO_WHOLE_ANSWER


def _known(values: Mapping[str, Value | None]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}
