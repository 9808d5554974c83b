"""What is sent, as our own value, and the SDK's message made of it. Making it never fails, whatever the value holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from azure.servicebus import ServiceBusMessage

from worker.core.delivery import PropertyValue
from worker.core.redelivery import Copy
from worker.core.reply import Reply

_INT_32: Final = range(-(2**31), 2**31)
_INT_64: Final = range(-(2**63), 2**63)
LONGEST_ID: Final = 128  # characters, the broker's limit for message, session and partition ids
_MAX_TIME_TO_LIVE_S: Final = (2**32 - 1) // 1000  # AMQP: 32 bits of milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to be sent. `enqueue_at`: the broker keeps it back until then."""

    body: bytes
    message_id: str
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    content_type: str | None = None
    correlation_id: str | None = None
    session_id: str | None = None
    partition_key: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    time_to_live_s: float | None = None
    enqueue_at: datetime | None = None


def of_reply(reply: Reply) -> Outgoing:
    return Outgoing(
        body=reply.body,
        message_id=reply.message_id,
        properties=reply.properties,
        content_type=reply.content_type,
        correlation_id=reply.correlation_id,
        session_id=reply.to.session_id,
        time_to_live_s=reply.time_to_live_s,
    )


def of_copy(copy: Copy, *, now: float) -> Outgoing:
    """`now` on the loop's clock, as the original's times; the broker's own clock is told from its stamp on that."""
    original = copy.original
    # By a clock behind the broker's it was enqueued in the future; now is after that all the same.
    broker_now_s = original.enqueued_time_ms / 1000 + max(0.0, now - original.enqueued_at)
    return Outgoing(
        body=original.body or b"",
        message_id=copy.message_id,
        properties=copy.properties,
        content_type=original.content_type,
        correlation_id=original.correlation_id,
        session_id=original.session_id,
        partition_key=original.partition_key,
        subject=original.subject,
        to=original.to,
        reply_to=original.reply_to,
        reply_to_session_id=original.reply_to_session_id,
        # The broker counts a scheduled message's time to live from when it becomes visible.
        time_to_live_s=copy.time_to_live_s,
        enqueue_at=datetime.fromtimestamp(broker_now_s + copy.delay_s, UTC),
    )


def to_message(outgoing: Outgoing) -> ServiceBusMessage:
    properties: dict[Any, Any] = {_string(key): _value(value) for key, value in outgoing.properties.items()}
    session_id = _id(outgoing.session_id)
    return ServiceBusMessage(
        outgoing.body,
        application_properties=properties or None,
        message_id=_id(outgoing.message_id),
        content_type=_symbol(outgoing.content_type),
        correlation_id=_text(outgoing.correlation_id),
        session_id=session_id,
        # In a session the partition key is the session id; the SDK refuses any other.
        partition_key=_id(outgoing.partition_key) if session_id is None else None,
        subject=_text(outgoing.subject),
        to=_text(outgoing.to),
        reply_to=_text(outgoing.reply_to),
        reply_to_session_id=_id(outgoing.reply_to_session_id),
        time_to_live=_time_to_live(outgoing.time_to_live_s),
        scheduled_enqueue_time_utc=outgoing.enqueue_at,
    )


def _time_to_live(time_to_live_s: float | None) -> timedelta | None:
    """The SDK cuts to whole seconds, and zero would mean the queue's own."""
    if time_to_live_s is None:
        return None
    return timedelta(seconds=min(max(1, math.ceil(time_to_live_s)), _MAX_TIME_TO_LIVE_S))


def _value(value: PropertyValue) -> object:
    """The SDK encodes an integer as 32 bits and bytes as a string, unless it is told the AMQP type in its own way."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bytes):
        return {"TYPE": "BINARY", "VALUE": value}
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT_32:
        return {"TYPE": "LONG", "VALUE": value} if value in _INT_64 else str(value)
    return value


def _id(value: str | None) -> str | None:
    return None if value is None else _string(value)[:LONGEST_ID]


def _symbol(value: str | None) -> str | None:
    """AMQP's content type is ASCII."""
    return None if value is None else value.encode("ascii", errors="replace").decode()


def _text(value: str | None) -> str | None:
    return None if value is None else _string(value)


def _string(value: str) -> str:
    """Without lone surrogates, which JSON may spell and UTF-8 can't."""
    return value.encode(errors="replace").decode()
