"""What went in and out of the broker, in order: a list that grows until it is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from worker.emulator.broker import BrokeredMessage, Message, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    at: float
    """Seconds since the epoch, as in all records."""
    entity: str
    message_id: str | None
    session_id: str | None
    scheduled_for: float | None
    message: Message
    """As it was sent; a duplicate, too, which the entity then drops."""
    by: str | None
    """The shared access key's name that its sender's connection came with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    at: float
    entity: str
    message_id: str | None
    sequence_number: int
    delivery_count: int
    lock_token: UUID | None
    by: str | None
    """The shared access key's name that its receiver's connection came with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    at: float
    entity: str
    message_id: str | None
    """None where the lock token is not of a delivery in this history."""
    lock_token: UUID
    settlement: Settlement
    refusal: str | None
    """The error condition when the broker refused, as for a lost lock."""


Record = Enqueued | Delivered | Settled


class History:
    """`is_kept` false: nothing is, for long runs."""

    def __init__(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._records: list[Record] = []
        self._message_ids: dict[UUID, str | None] = {}
        self.actor: str | None = None
        """The key's name of the client that is being heard, and whose messages are being recorded."""

    @property
    def records(self) -> Sequence[Record]:
        return self._records

    def forget(self) -> None:
        """All of it, so that a long run stays small."""
        self._records.clear()
        self._message_ids.clear()

    def enqueued(self, at: float, entity: str, messages: list[Message]) -> None:
        if self._is_kept:
            self._records += [
                Enqueued(
                    at=at,
                    entity=entity,
                    message_id=message.message_id,
                    session_id=message.session_id,
                    scheduled_for=message.scheduled_for,
                    message=message,
                    by=self.actor,
                )
                for message in messages
            ]

    def delivered(self, at: float, entity: str, delivered: BrokeredMessage, *, by: str | None = None) -> None:
        if not self._is_kept:
            return
        if delivered.lock_token is not None:
            self._message_ids[delivered.lock_token] = delivered.message.message_id
        self._records.append(
            Delivered(
                at=at,
                entity=entity,
                message_id=delivered.message.message_id,
                sequence_number=delivered.sequence_number,
                delivery_count=delivered.delivery_count,
                lock_token=delivered.lock_token,
                by=by,
            )
        )

    def settled(
        self, at: float, entity: str, lock_token: UUID, settlement: Settlement, *, refusal: str | None = None
    ) -> None:
        if self._is_kept:
            self._records.append(
                Settled(
                    at=at,
                    entity=entity,
                    message_id=self._message_ids.get(lock_token),
                    lock_token=lock_token,
                    settlement=settlement,
                    refusal=refusal,
                )
            )
