"""Step two of the pipeline: what a delivery asks for."""

import math
import re
from collections.abc import Mapping

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.event import Event, recognised
from worker.core.dataverse.facts import is_stripped
from worker.core.dataverse.repeats import repeat_key
from worker.core.delivery import Delivery, PropertyValue
from worker.core.outcome import Reason, Rejected, Running
from worker.core.request import Fetch, Request

REQUEST_ID = "request-id"  # of a copy: the first message id
DELIVERY_ATTEMPT = "delivery-attempt"  # of a copy: scheduled redeliveries so far
TIMEOUT_S = "timeout-s"
# Of a copy that fetches the answer of a run that goes on.
ANSWER_LOCATION = "answer-location"
ANSWER_FLOW = "answer-flow"
FLOW_FIXED = "flow-fixed"  # true: no route may lead to another flow than the property `flow` names
ANSWER_RUN_ID = "answer-run-id"
ANSWER_ATTEMPTS = "answer-attempts"

_UNNAMED = "unnamed-"
_TRACE_PROPERTIES = ("traceparent", "tracestate", "Diagnostic-Id")

_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_DECIMAL = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")


class _Malformed(ValueError):
    """What is wrong with the request, in a sentence for its sender."""


def decode(delivery: Delivery) -> Request | Rejected:
    try:
        return _request(delivery)
    except _Malformed as wrong:
        return Rejected(reason=Reason.MALFORMED, detail=str(wrong))


def request_id_of(delivery: Delivery) -> str:
    """The id that stays with a request over every copy of it.

    A message without any id gets one from its place in the queue, which a redelivery doesn't change.
    """
    return (
        text_of(delivery.properties.get(REQUEST_ID))
        or delivery.message_id
        or f"{_UNNAMED}{delivery.enqueued_time_ms}-{delivery.sequence_number}"
    )


def is_named(request_id: str) -> bool:
    """Whether its sender gave it that id."""
    return not request_id.startswith(_UNNAMED)


def text_of(value: PropertyValue) -> str | None:
    """A property as text; None where it is absent, empty or unreadable."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        try:
            return value.decode() or None
        except UnicodeDecodeError:
            return None
    return str(value)


def _request(delivery: Delivery) -> Request:
    properties = delivery.properties
    if delivery.body is None:
        raise _Malformed("the message's body is an AMQP sequence or value; send data, a string or binary instead")
    request_id = request_id_of(delivery)
    event = _event(delivery, delivery.body)
    repeat = repeat_key(event.facts, delivery.body) if event is not None and delivery.is_one_way else None
    return Request(
        request_id=request_id,
        idempotency_key=text_of(properties.get("idempotency-key")) or repeat or request_id,
        correlation_id=delivery.correlation_id,
        body=delivery.body,
        content_type=delivery.content_type,
        subject=delivery.subject,
        properties=properties,
        event=event,
        is_truncated=is_stripped(properties),
        flow_name=text_of(properties.get("flow")),
        is_flow_fixed=properties.get(FLOW_FIXED) is True,
        timeout_s=_seconds(properties, TIMEOUT_S),
        reply_ttl_s=_seconds(properties, "reply-ttl-s"),
        trace=_trace(properties),
        delivery_attempt=_count(properties, DELIVERY_ATTEMPT),
        fetch=_fetch(properties),
    )


def _fetch(properties: Mapping[str, PropertyValue]) -> Fetch | None:
    location, flow = text_of(properties.get(ANSWER_LOCATION)), text_of(properties.get(ANSWER_FLOW))
    if REQUEST_ID not in properties or location is None or flow is None:
        return None
    if not location.isprintable():
        raise _Malformed(f"{ANSWER_LOCATION}: expected a URL, got {location!r:.80}")
    # Its schedule was the wait that the flow asked for.
    running = Running(
        location=location,
        retry_after_s=0.0,
        run_id=text_of(properties.get(ANSWER_RUN_ID)),
        attempts=_count(properties, ANSWER_ATTEMPTS),
    )
    return Fetch(flow_name=flow, running=running)


def _event(delivery: Delivery, body: bytes) -> Event | None:
    try:
        return recognised(body, delivery.content_type, delivery.properties)
    except ContextBroken as broken:
        raise _Malformed(f"the Dataverse context can't be read: {broken}") from None


def _seconds(properties: Mapping[str, PropertyValue], name: str) -> float | None:
    if name not in properties:
        return None
    value = properties[name]
    seconds = math.nan
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        seconds = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _as_float(value)
    if not (math.isfinite(seconds) and seconds > 0):
        raise _Malformed(f"{name}: expected a positive number of seconds, or its decimal string, got {value!r:.80}")
    return seconds


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _count(properties: Mapping[str, PropertyValue], name: str) -> int:
    value = properties.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise _Malformed(f"{name}: expected a whole number from 0, got {value!r:.80}")


def _trace(properties: Mapping[str, PropertyValue]) -> dict[str, str]:
    """Trace context becomes HTTP headers, so only printable ASCII passes.

    Older Azure senders carry the trace parent as Diagnostic-Id alone.
    """
    texts = ((name, properties.get(name)) for name in _TRACE_PROPERTIES)
    trace = {
        name: text for name, text in texts if isinstance(text, str) and text and text.isascii() and text.isprintable()
    }
    diagnostic_id = trace.pop("Diagnostic-Id", "")
    if "traceparent" not in trace and _TRACE_PARENT.fullmatch(diagnostic_id):
        trace["traceparent"] = diagnostic_id
    return trace
