"""What came from the request queue, free of SDK types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

REDELIVERED = "redelivered"  # of a copy: its original was

PropertyValue: TypeAlias = str | bytes | int | float | bool | datetime | UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of one message.

    Strings that were empty are None. `enqueued_at` and `locked_until` are on the loop's clock, so they may lie before
    the process started. `body` is None where the AMQP body is neither data nor a string or binary value.
    """

    lock_token: str
    sequence_number: int
    delivery_count: int  # earlier deliveries that ended without a settlement: 0 on the first
    enqueued_at: float
    enqueued_time_ms: int  # the broker's wall clock, epoch milliseconds
    locked_until: float
    message_id: str | None
    correlation_id: str | None
    session_id: str | None
    reply_to: str | None
    reply_to_session_id: str | None
    content_type: str | None
    subject: str | None
    to: str | None
    partition_key: str | None
    time_to_live_s: float | None
    body: bytes | None = field(repr=False)
    # May hold the signed address of a run's answer.
    properties: Mapping[str, PropertyValue] = field(default_factory=dict, repr=False)

    @property
    def is_one_way(self) -> bool:
        """Whether its sender asks for no answer."""
        return self.reply_to is None and self.reply_to_session_id is None

    @property
    def is_redelivered(self) -> bool:
        """Whether it, or what it is a copy of, was delivered before, and ended without a word."""
        return self.delivery_count > 0 or self.properties.get(REDELIVERED) is True
