"""The SDK's received message → `Delivery`, the last place that sees an SDK type. Nothing a sender can do raises."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType, AmqpMessageHeader, AmqpMessageProperties

from worker.core.delivery import Delivery, PropertyValue

LONGEST_LOCK_S: Final = 300.0  # that Service Bus can be set to
# Service Bus always stamps when a lock ends; without it, assume little.
_UNSTATED_LOCK_S: Final = 30.0
# The SDK decodes these as ASCII whenever it settles and so can't settle a message where they aren't.
_TRACE_KEYS: Final = frozenset({b"traceparent", b"tracestate", b"Diagnostic-Id"})
_NO_HEADER: Final = AmqpMessageHeader()
_NO_PROPERTIES: Final = AmqpMessageProperties()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """Both clocks, read at once."""

    loop_s: float
    wall_s: float

    @classmethod
    def now(cls) -> "Instant":
        return cls(loop_s=asyncio.get_running_loop().time(), wall_s=time.time())

    def on_loop(self, wall_s: float) -> float:
        return self.loop_s + (wall_s - self.wall_s)


def to_delivery(
    message: ServiceBusReceivedMessage,
    now: Instant,
    *,
    lock_s: float = LONGEST_LOCK_S,
    session_locked_until: datetime | None = None,
    ahead_s: float = 0.0,
) -> Delivery:
    """`lock_s`: how long a lock lasts; `session_locked_until`: in a session the lock is the session's.

    `ahead_s`: how far this machine's clock is known to be ahead of the broker's.
    """
    raw = message.raw_amqp_message
    stamps = _map(raw.annotations)
    enqueued_ms = _int(stamps.get(b"x-opt-enqueued-time")) or round(now.wall_s * 1000)
    # Of the sections themselves: `message.reply_to` and its like walk the whole section each time (1.3 µs, not 0.1), as
    # does asking whether a section is true.
    header = _NO_HEADER if raw.header is None else raw.header
    fields = _NO_PROPERTIES if raw.properties is None else raw.properties
    time_to_live_ms = _int(header.time_to_live)
    return Delivery(
        lock_token=str(message.lock_token),
        sequence_number=_int(stamps.get(b"x-opt-sequence-number")) or 0,
        delivery_count=_int(header.delivery_count) or 0,
        enqueued_at=now.on_loop(enqueued_ms / 1000 + ahead_s),
        enqueued_time_ms=enqueued_ms,
        # By a clock behind the broker's the lock would seem to last longer than it can.
        locked_until=min(_locked_until(stamps, now, session_locked_until), now.loop_s + lock_s),
        message_id=_text(fields.message_id),
        correlation_id=_text(fields.correlation_id),
        session_id=_text(fields.group_id),
        reply_to=_text(fields.reply_to),
        reply_to_session_id=_text(fields.reply_to_group_id),
        content_type=_text(fields.content_type),
        subject=_text(fields.subject),
        to=_text(fields.to),
        partition_key=_text(stamps.get(b"x-opt-partition-key")),
        time_to_live_s=None if time_to_live_ms is None else time_to_live_ms / 1000,
        body=_body(raw),
        properties=_properties(_map(raw.application_properties)),
    )


def stamps_of(message: ServiceBusReceivedMessage) -> tuple[float, float] | None:
    """When it was enqueued and until when it is locked, in epoch seconds; None where the broker doesn't say."""
    stamps = _map(message.raw_amqp_message.annotations)
    enqueued_ms, locked_until_ms = _int(stamps.get(b"x-opt-enqueued-time")), _int(stamps.get(b"x-opt-locked-until"))
    if enqueued_ms is None or locked_until_ms is None:
        return None
    return enqueued_ms / 1000, locked_until_ms / 1000


def strip_unsettleable(message: ServiceBusReceivedMessage) -> None:
    """Take trace properties that aren't ASCII out of the SDK's message, and properties that are no map.

    Otherwise it can't be settled.
    """
    properties: Any = message.application_properties or {}
    if not isinstance(properties, dict):
        message.application_properties = None
        return
    for key in _TRACE_KEYS & properties.keys():
        value = properties[key]
        if isinstance(value, bytes) and not value.isascii():
            del properties[key]


def _locked_until(stamps: Mapping[Any, Any], now: Instant, session_locked_until: datetime | None) -> float:
    if session_locked_until is not None:
        return now.on_loop(session_locked_until.timestamp())
    locked_until_ms = _int(stamps.get(b"x-opt-locked-until"))
    return now.loop_s + _UNSTATED_LOCK_S if locked_until_ms is None else now.on_loop(locked_until_ms / 1000)


def _body(raw: AmqpAnnotatedMessage) -> bytes | None:
    body = raw.body
    if raw.body_type is AmqpMessageBodyType.DATA:
        try:
            return b"".join(body)
        except TypeError:  # a data section that holds no binary
            return None
    if raw.body_type is AmqpMessageBodyType.VALUE and isinstance(body, bytes):  # a string arrives as its UTF-8
        return body
    return None


def _map(section: object) -> Mapping[Any, Any]:
    """Of a section that should be a map, and may be anything."""
    return section if isinstance(section, dict) else {}


def _properties(received: Mapping[Any, Any]) -> dict[str, PropertyValue]:
    return {_text(key) or "": _property(value) for key, value in received.items()}


def _property(value: object) -> PropertyValue:
    """Strings arrive as their bytes, like binaries: what is UTF-8 counts as a string. Timestamps arrive as integers."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if value is None or isinstance(value, str | int | float | UUID | datetime):
        return value
    return str(value)


def _text(value: object) -> str | None:
    """Ids may be strings, binaries, integers or UUIDs; an empty one counts as absent."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace") or None
    return None if value is None else str(value) or None


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
