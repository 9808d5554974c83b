"""A message's place in a mailbox, and all that changes about it there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from worker.emulator.broker.message import BrokeredMessage, Message, MessageState, PropertyValue


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    message: Message
    sequence_number: int
    enqueued_sequence_number: int
    enqueued_at: float
    expires_at: float | None
    delivery_count: int = 0
    deferred: bool = False
    lock_token: UUID | None = None
    locked_until: float | None = None
    dead_letter_source: str | None = None
    added_properties: Mapping[str, PropertyValue] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """Never empty in a mailbox with sessions: `Intake` sees to it."""
        return self.message.session_id or ""

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def add_properties(self, properties: Mapping[str, PropertyValue]) -> None:
        """A new mapping each time: snapshots keep the one they were taken with."""
        if properties:
            self.added_properties = {**self.added_properties, **properties}

    def snapshot(self, *, shows_lock: bool = True) -> BrokeredMessage:
        return BrokeredMessage(
            message=self.message,
            sequence_number=self.sequence_number,
            enqueued_sequence_number=self.enqueued_sequence_number,
            enqueued_at=self.enqueued_at,
            expires_at=self.expires_at,
            state=MessageState.DEFERRED if self.deferred else MessageState.ACTIVE,
            delivery_count=self.delivery_count,
            dead_letter_source=self.dead_letter_source,
            added_properties=self.added_properties,
            lock_token=self.lock_token if shows_lock else None,
            locked_until=self.locked_until if shows_lock else None,
        )
