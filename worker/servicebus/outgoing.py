"""What is sent, as our own value, and the SDK's message made of it. Making it never fails, whatever the value holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from azure.servicebus.amqp import AmqpAnnotatedMessage

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


def to_message(outgoing: Outgoing) -> AmqpAnnotatedMessage:
    """By its sections: a `ServiceBusMessage`, which the SDK encodes alike, takes 36 µs to make, this 13."""
    session_id = _id(outgoing.session_id)
    return AmqpAnnotatedMessage(
        data_body=outgoing.body,
        # The SDK derives the times of creation and expiry from it.
        header={"time_to_live": _time_to_live_ms(outgoing.time_to_live_s)},
        properties={
            "message_id": _id(outgoing.message_id) or str(uuid4()),  # an empty one would be every such message's
            "to": _text(outgoing.to),
            "subject": _text(outgoing.subject),
            "reply_to": _text(outgoing.reply_to),
            "correlation_id": _text(outgoing.correlation_id),
            "content_type": _symbol(outgoing.content_type),
            "group_id": session_id,
            "reply_to_group_id": _id(outgoing.reply_to_session_id),
        },
        application_properties={_string(name): _value(value) for name, value in outgoing.properties.items()},
        # In a session the partition key is the session id; the broker refuses any other.
        annotations=_annotations(outgoing.enqueue_at, _id(outgoing.partition_key) if session_id is None else None),
    )


def _annotations(enqueue_at: datetime | None, partition_key: str | None) -> dict[Any, object]:
    annotations = {b"x-opt-scheduled-enqueue-time": enqueue_at, b"x-opt-partition-key": partition_key}
    return {name: value for name, value in annotations.items() if value is not None}


def _time_to_live_ms(time_to_live_s: float | None) -> int | None:
    """Of whole seconds, since other SDKs cut to them; zero would mean the queue's own."""
    if time_to_live_s is None:
        return None
    return min(max(1, math.ceil(time_to_live_s)), _MAX_TIME_TO_LIVE_S) * 1000


def _value(value: PropertyValue) -> object:
    """With its AMQP type, in the SDK's own way: else it encodes any integer as 32 bits, and bytes as a string.

    Where it needn't guess it is faster by 0.9 µs, and in a batch it encodes each message twice.
    """
    match value:
        case str():
            return {"TYPE": "STRING", "VALUE": value.encode(errors="replace")}
        case bytes():
            return {"TYPE": "BINARY", "VALUE": value}
        case bool():
            return value
        case int() if value in _INT_64:
            return {"TYPE": "INT" if value in _INT_32 else "LONG", "VALUE": value}
        case int():
            return {"TYPE": "STRING", "VALUE": str(value)}
        case _:
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
    return value if value.isascii() else value.encode(errors="replace").decode()
