"""A message as a sender gave it, and as the broker hands it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

PropertyValue = str | int | float | bool | bytes | UUID | None
"""An application property's value, as far as filters tell them apart."""


class MessageState(IntEnum):
    """Numbers are Service Bus's own (`ServiceBusMessageState`)."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What was sent: `payload` is never looked into, the rest is what the broker's rules read."""

    payload: bytes
    message_id: str | None = None
    session_id: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    content_type: str | None = None
    partition_key: str | None = None
    ttl_s: float | None = None
    scheduled_for: float | None = None
    """Seconds since the epoch; in the future, the message waits as scheduled."""
    application_properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    """Read only by subscription filters, so a mapping that decodes on first use is welcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokeredMessage:
    """A message with what the broker knows of it at the moment it was delivered, received or peeked."""

    message: Message
    sequence_number: int
    enqueued_sequence_number: int
    """A subscription's copy keeps the topic's number here; elsewhere equal to `sequence_number`."""
    enqueued_at: float
    expires_at: float | None
    """None in a dead-letter queue, and where neither message nor entity sets a time to live."""
    state: MessageState
    delivery_count: int
    """Earlier deliveries that failed: 0 the first time (as AMQP's header counts)."""
    dead_letter_source: str | None
    added_properties: Mapping[str, PropertyValue]
    """To lay over the message's own: DeadLetterReason, DeadLetterErrorDescription, and what was given when settling."""
    lock_token: UUID | None
    """None when peeked or received-and-deleted."""
    locked_until: float | None
