"""The sendable half of an entity: what a queue or topic takes in, when, and to which mailboxes it goes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from worker.emulator.broker.duplicates import DuplicateWindow
from worker.emulator.broker.entry import Entry
from worker.emulator.broker.errors import (
    MessageNotFoundError,
    MessageSizeExceededError,
    OperationNotAllowedError,
    QuotaExceededError,
)
from worker.emulator.broker.filters import Filter
from worker.emulator.broker.heap import IndexedHeap
from worker.emulator.broker.mailbox import Mailbox
from worker.emulator.broker.message import BrokeredMessage, Message, MessageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way into a mailbox, open when any filter matches."""

    mailbox: Mailbox
    filters: tuple[Filter, ...]
    ttl_s: float | None
    sequence_numbers: Iterator[int] | None
    """A subscription counts for itself; None: the number given by the intake stays, as in a queue."""

    def takes(self, message: Message) -> bool:
        return any(filter_.matches(message) for filter_ in self.filters)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRules:
    requires_session: bool
    max_message_bytes: int
    max_size_bytes: int | None
    duplicate_window_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    message: Message
    at: float
    accepted_at: float


class Intake:
    def __init__(self, path: str, rules: IntakeRules, routes: Sequence[Route]) -> None:
        self._path = path
        self._rules = rules
        self._routes = tuple(routes)
        self._numbers = count(1)
        self._duplicates = None if rules.duplicate_window_s is None else DuplicateWindow(rules.duplicate_window_s)
        self._scheduled: dict[int, Scheduled] = {}
        self._due: IndexedHeap[tuple[float, int]] = IndexedHeap()

    def send(self, messages: Sequence[Message], now: float) -> list[int]:
        """The sequence numbers given; a duplicate is dropped and answers with its original's.

        Raises OperationNotAllowedError, MessageSizeExceededError, QuotaExceededError.
        """
        self._refuse_unfit(messages)
        return [self._take(message, now) for message in messages]

    def cancel_scheduled(self, sequence_numbers: Sequence[int]) -> None:
        for number in sequence_numbers:
            if number not in self._scheduled:
                raise MessageNotFoundError(
                    f"{self._path} has no scheduled message {number}: it is enqueued, cancelled, or never was"
                )
        for number in dict.fromkeys(sequence_numbers):
            scheduled = self._scheduled.pop(number)
            self._due.discard((scheduled.at, number))

    def advance(self, now: float) -> None:
        """A scheduled message is enqueued with a new number, as of the moment it was scheduled for."""
        while (first := self._due.first()) is not None and first[0] <= now:
            enqueued_at, number = self._due.pop()
            self._enqueue(self._scheduled.pop(number).message, next(self._numbers), enqueued_at, now)

    def next_deadline(self) -> float:
        first = self._due.first()
        return first[0] if first else math.inf

    @property
    def scheduled_count(self) -> int:
        return len(self._scheduled)

    def scheduled(self) -> Iterator[BrokeredMessage]:
        """In order of acceptance."""
        for number, scheduled in self._scheduled.items():
            yield BrokeredMessage(
                message=scheduled.message,
                sequence_number=number,
                enqueued_sequence_number=number,
                enqueued_at=scheduled.accepted_at,
                expires_at=None,
                state=MessageState.SCHEDULED,
                delivery_count=0,
                dead_letter_source=None,
                added_properties={},
                lock_token=None,
                locked_until=None,
            )

    def _refuse_unfit(self, messages: Sequence[Message]) -> None:
        rules = self._rules
        for message in messages:
            if len(message.payload) > rules.max_message_bytes:
                raise MessageSizeExceededError(
                    f"a message of {len(message.payload)} bytes was sent to {self._path}, "
                    f"which takes {rules.max_message_bytes} bytes at most"
                )
            if rules.requires_session and not message.session_id:
                raise OperationNotAllowedError(
                    f"a message without a session id was sent to {self._path}, which keeps sessions: set session_id"
                )
            if message.session_id and message.partition_key not in (None, message.session_id):
                raise OperationNotAllowedError(
                    f"partition key {message.partition_key!r} differs from session id {message.session_id!r}: "
                    "where both are set they are the same"
                )
        if rules.max_size_bytes is not None:
            size = self._size_bytes() + sum(len(message.payload) for message in messages)
            if size > rules.max_size_bytes:
                raise QuotaExceededError(f"{self._path} would hold {size} bytes and may hold {rules.max_size_bytes}")

    def _size_bytes(self) -> int:
        return sum(route.mailbox.size_bytes for route in self._routes) + sum(
            len(scheduled.message.payload) for scheduled in self._scheduled.values()
        )

    def _take(self, message: Message, now: float) -> int:
        if self._duplicates is not None and message.message_id is not None:
            original = self._duplicates.original_of(message.message_id, now)
            if original is not None:
                return original
        number = next(self._numbers)
        if self._duplicates is not None and message.message_id is not None:
            self._duplicates.remember(message.message_id, number, now)
        if message.scheduled_for is not None and message.scheduled_for > now:
            self._scheduled[number] = Scheduled(message=message, at=message.scheduled_for, accepted_at=now)
            self._due.add((message.scheduled_for, number))
        else:
            self._enqueue(message, number, now, now)
        return number

    def _enqueue(self, message: Message, number: int, enqueued_at: float, now: float) -> None:
        for route in self._routes:
            if not route.takes(message):
                continue
            entry = Entry(
                message=message,
                sequence_number=number if route.sequence_numbers is None else next(route.sequence_numbers),
                enqueued_sequence_number=number,
                enqueued_at=enqueued_at,
                expires_at=_expiry(enqueued_at, message.ttl_s, route.ttl_s),
            )
            route.mailbox.put(entry, now)


def _expiry(enqueued_at: float, *ttls_s: float | None) -> float | None:
    """The shortest time to live wins."""
    set_ttls_s = [ttl_s for ttl_s in ttls_s if ttl_s is not None]
    return enqueued_at + min(set_ttls_s) if set_ttls_s else None
