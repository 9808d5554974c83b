"""AMQP messages in, AMQP messages out: the sender's bare message is kept as it came.

What the broker stores as a message's payload is the sender's own message annotations, if any, and the bare message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, cast
from uuid import uuid4

from worker.emulator.amqp.encode import described, encode, encode_long, encode_map_entries, encode_timestamp
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.amqp.message import (
    APPLICATION_PROPERTIES,
    MESSAGE_ANNOTATIONS,
    PROPERTIES,
    Header,
    Sections,
    encode_header,
    encode_properties,
    encode_section,
    read_data,
    read_sections,
    read_value,
    replace_section,
    spans,
)
from worker.emulator.amqp.performatives import Map
from worker.emulator.amqp.types import Int, Symbol, Timestamp
from worker.emulator.broker import BrokeredMessage, Message, MessageState, PropertyValue

BATCH_FORMAT: Final = 0x80013700
"""The message format of a batch: each data section holds a message."""
UINT_MAX: Final = 0xFFFFFFFF

SCHEDULED_FOR: Final = Symbol("x-opt-scheduled-enqueue-time")
PARTITION_KEY: Final = Symbol("x-opt-partition-key")
_SEQUENCE_NUMBER: Final = Symbol("x-opt-sequence-number")
_ENQUEUED_SEQUENCE_NUMBER: Final = Symbol("x-opt-enqueue-sequence-number")
_ENQUEUED_AT: Final = Symbol("x-opt-enqueued-time")
_LOCKED_UNTIL: Final = Symbol("x-opt-locked-until")
_STATE: Final = Symbol("x-opt-message-state")
_DEAD_LETTER_SOURCE: Final = Symbol("x-opt-deadletter-source")
_BROKERS_OWN: Final = frozenset(
    {_SEQUENCE_NUMBER, _ENQUEUED_SEQUENCE_NUMBER, _ENQUEUED_AT, _LOCKED_UNTIL, _STATE, _DEAD_LETTER_SOURCE}
)
"""Annotations that say what the broker knows; a sender that passes on a received message sends old ones."""


def read_messages(payload: bytes, message_format: int) -> list[Message]:
    """What one delivery sends: a message, or a batch of them. Raises DecodeError."""
    if message_format == BATCH_FORMAT:
        return [_read_message(data) for data in read_data(payload)]
    return [_read_message(payload)]


def _read_message(encoded: bytes) -> Message:
    sections = read_sections(encoded)
    properties, bare = sections.properties, sections.bare
    if properties.message_id is None:
        properties = properties._replace(message_id=uuid4().hex)
        bare = replace_section(bare, PROPERTIES, encode_properties(properties))
    annotations = {key: value for key, value in sections.message_annotations.items() if key not in _BROKERS_OWN}
    kept = encode_section(MESSAGE_ANNOTATIONS, annotations) if annotations else b""
    scheduled_for = annotations.get(SCHEDULED_FOR)
    return Message(
        payload=kept + bare,
        message_id=_identifier(properties.message_id),
        session_id=properties.group_id,
        correlation_id=_identifier(properties.correlation_id),
        subject=properties.subject,
        to=properties.to,
        reply_to=properties.reply_to,
        reply_to_session_id=properties.reply_to_group_id,
        content_type=properties.content_type,
        partition_key=_text(annotations.get(PARTITION_KEY)),
        ttl_s=_time_to_live_s(sections),
        scheduled_for=scheduled_for / 1000 if isinstance(scheduled_for, int) else None,
        application_properties=ApplicationProperties(bare),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _identifier(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def _time_to_live_s(sections: Sections) -> float | None:
    """The header's; the expiry time in the properties is what SDKs add beside it, only for .NET's large ones."""
    ttl_ms = sections.header.ttl
    properties = sections.properties
    if properties.absolute_expiry_time is not None and properties.creation_time is not None:
        return max(0, properties.absolute_expiry_time - properties.creation_time) / 1000
    return None if ttl_ms is None else ttl_ms / 1000


class ApplicationProperties(Mapping[str, PropertyValue]):
    """Decoded when first asked for: only subscription filters ask."""

    __slots__ = ("_bare", "_entries")

    def __init__(self, bare: bytes) -> None:
        self._bare = bare
        self._entries: dict[str, PropertyValue] | None = None

    def _decoded(self) -> dict[str, PropertyValue]:
        if self._entries is None:
            self._entries = cast("dict[str, PropertyValue]", _application_properties(self._bare))
            self._bare = b""
        return self._entries

    def __getitem__(self, key: str) -> PropertyValue:
        return self._decoded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())


_OPENING: Final = b"\x00\x53\x72"
"""How a message annotations section begins."""


def encode_message(delivered: BrokeredMessage) -> bytes:
    """The whole message as a receiver gets it: header and annotations are the broker's, the rest the sender's."""
    stored = delivered.message.payload
    annotations: Map = {}
    if stored.startswith(_OPENING):
        own = next(spans(stored))
        annotations = cast("Map", read_value(stored, MESSAGE_ANNOTATIONS))
        stored = stored[own.end :]
    if delivered.added_properties:
        stored = _with_properties(stored, delivered.added_properties)
    header = _encode_header(delivered.message.ttl_s, delivered.delivery_count)
    return b"".join((header, _encode_annotations(annotations, delivered), stored))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@lru_cache(maxsize=1024)
def _encode_header(ttl_s: float | None, delivery_count: int) -> bytes:
    ttl_ms = None if ttl_s is None else min(_milliseconds(ttl_s), UINT_MAX)
    return encode_header(Header(durable=True, ttl=ttl_ms, delivery_count=delivery_count))


_KEYS: Final = {key: encode(key) for key in _BROKERS_OWN}
_STATES: Final = {state: encode(Int(state)) for state in MessageState}


def _encode_annotations(own: Map, delivered: BrokeredMessage) -> bytes:
    entries = [encode(side) for entry in own.items() for side in entry]
    entries += (
        _KEYS[_SEQUENCE_NUMBER],
        encode_long(delivered.sequence_number),
        _KEYS[_ENQUEUED_SEQUENCE_NUMBER],
        encode_long(delivered.enqueued_sequence_number),
        _KEYS[_ENQUEUED_AT],
        encode_timestamp(_milliseconds(delivered.enqueued_at)),
        _KEYS[_STATE],
        _STATES[delivered.state],
    )
    if delivered.locked_until is not None:
        entries += (_KEYS[_LOCKED_UNTIL], encode_timestamp(_milliseconds(delivered.locked_until)))
    if delivered.dead_letter_source is not None:
        entries += (_KEYS[_DEAD_LETTER_SOURCE], encode(delivered.dead_letter_source))
    return described(MESSAGE_ANNOTATIONS, encode_map_entries(entries))


def timestamp(seconds: float) -> Timestamp:
    return Timestamp(_milliseconds(seconds))


def _with_properties(bare: bytes, added: Mapping[str, PropertyValue]) -> bytes:
    merged = _application_properties(bare) | dict(added)
    return replace_section(bare, APPLICATION_PROPERTIES, encode_section(APPLICATION_PROPERTIES, merged))


def _application_properties(bare: bytes) -> Map:
    """Nobody looked into them when the message was taken; what can't be read then counts as none."""
    try:
        entries = read_value(bare, APPLICATION_PROPERTIES)
    except DecodeError:
        return {}
    return entries if isinstance(entries, dict) else {}
