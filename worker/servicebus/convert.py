"""The SDK's received message → `Delivery`, the last place that sees an SDK type. Nothing a sender can do raises."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType

from worker.core.delivery import Delivery, PropertyValue

LONGEST_LOCK_S: Final = 300.0  # that Service Bus can be set to
# Service Bus always stamps when a lock ends; without it, assume little.
_UNSTATED_LOCK_S: Final = 30.0
# The SDK decodes these as ASCII whenever it settles and so can't settle a message where they aren't.
_TRACE_KEYS: Final = frozenset({b"traceparent", b"tracestate", b"Diagnostic-Id"})


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
    header = raw.header
    time_to_live_ms = _int(header.time_to_live) if header else None
    return Delivery(
        lock_token=str(message.lock_token),
        sequence_number=_int(stamps.get(b"x-opt-sequence-number")) or 0,
        delivery_count=(_int(header.delivery_count) if header else None) or 0,
        enqueued_at=now.on_loop(enqueued_ms / 1000 + ahead_s),
        enqueued_time_ms=enqueued_ms,
        # By a clock behind the broker's the lock would seem to last longer than it can.
        locked_until=min(_locked_until(stamps, now, session_locked_until), now.loop_s + lock_s),
        message_id=_text(message.message_id),
        correlation_id=_text(message.correlation_id),
        session_id=_text(message.session_id),
        reply_to=_text(message.reply_to),
        reply_to_session_id=_text(message.reply_to_session_id),
        content_type=_text(message.content_type),
        subject=_text(message.subject),
        to=_text(message.to),
        partition_key=_text(message.partition_key),
        time_to_live_s=None if time_to_live_ms is None else time_to_live_ms / 1000,
        body=_body(raw),
        properties=_properties(_map(message.application_properties)),
    )


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
    if raw.body_type is AmqpMessageBodyType.DATA and isinstance(body, Iterable):
        parts = list(body)
        is_sound = all(isinstance(part, bytes | bytearray | memoryview) for part in parts)
        return b"".join(parts) if is_sound else None  # of a number, `bytes` would make as many zeros
    if raw.body_type is AmqpMessageBodyType.VALUE and isinstance(body, bytes):  # a string arrives as its UTF-8
        return body
    return None


def _map(section: object) -> Mapping[Any, Any]:
    """Of a section that should be a map, and may be anything."""
    return section if isinstance(section, Mapping) else {}


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
