"""The whole broker behind one door: finds the entity by its path and hands the call on.

Paths are `queue`, `topic` and `topic/Subscriptions/name`; queues and subscriptions also with `/$DeadLetterQueue`.
Letter case doesn't matter.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from operator import attrgetter
from uuid import UUID

from worker.emulator.broker.consumer import ConsumerId, ReceiveMode, SessionChoice
from worker.emulator.broker.effects import Effect, SessionAcceptTimedOut, SessionLost
from worker.emulator.broker.entities import Entities, Entity
from worker.emulator.broker.errors import OperationNotAllowedError
from worker.emulator.broker.facts import EntityFacts, EntityKind, MessageCounts
from worker.emulator.broker.intake import Intake
from worker.emulator.broker.mailbox import Mailbox
from worker.emulator.broker.message import BrokeredMessage, Message
from worker.emulator.broker.settlement import Settlement
from worker.emulator.broker.tokens import LockTokens
from worker.emulator.broker.topology import Topology


class Broker:
    """Every call may add effects: take them with `take_effects` afterwards, in order.

    Every call that is told the time first does what has come due. Every call with a path raises EntityNotFoundError.
    """

    def __init__(self, topology: Topology, *, lock_token_salt: int) -> None:
        """`lock_token_salt`: up to 64 bits, others for each broker: the lock tokens of one mean nothing to the next.

        Raises InvalidTopologyError.
        """
        self._effects: list[Effect] = []
        self._entities = Entities(topology, LockTokens(lock_token_salt), self._effects)
        self._consumer_ids = count(1)
        self._receives_from: dict[ConsumerId, Entity] = {}
        self._now = -math.inf
        self._wake_at = math.inf

    # time and effects

    def take_effects(self) -> list[Effect]:
        """What happened since the last time, oldest first."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def advance(self, now: float) -> None:
        """Do what has come due: locks, times to live, scheduled messages, session accepts."""
        self._now = max(self._now, now)
        if self._now < self._wake_at:
            return
        self._wake_at = math.inf
        already = len(self._effects)
        for entity in self._entities:
            for part in entity.touches:
                part.advance(self._now)
            self._watch(entity)
        for effect in self._effects[already:]:
            if isinstance(effect, SessionLost | SessionAcceptTimedOut):
                del self._receives_from[effect.consumer]

    def next_deadline(self) -> float | None:
        """When `advance` has something to do at the earliest; may be too early, never too late; O(1)."""
        return None if self._wake_at == math.inf else self._wake_at

    # sending

    def send(self, entity: str, messages: Sequence[Message], now: float) -> None:
        """Take all messages or none. A duplicate is taken and dropped; a `scheduled_for` ahead is scheduled.

        Raises OperationNotAllowedError, MessageSizeExceededError, QuotaExceededError.
        """
        self.schedule(entity, messages, now)

    def schedule(self, entity: str, messages: Sequence[Message], now: float) -> list[int]:
        """`send`, answering with the sequence numbers to cancel by (a duplicate's is that of the first one)."""
        target = self._enter(entity, now)
        sequence_numbers = _intake(target).send(messages, self._now)
        self._watch(target)
        return sequence_numbers

    def cancel_scheduled(self, entity: str, sequence_numbers: Sequence[int], now: float) -> None:
        """Cancel all or none; raises MessageNotFoundError."""
        _intake(self._enter(entity, now)).cancel_scheduled(sequence_numbers)

    # consumers

    def open_consumer(self, entity: str, *, mode: ReceiveMode, session: SessionChoice | None, now: float) -> ConsumerId:
        """Starts with no credit. With a session, SessionAccepted or SessionAcceptTimedOut follows, at once or later.

        Raises OperationNotAllowedError (a session where none is kept, or the reverse), SessionCannotBeLockedError.
        """
        source = self._enter(entity, now)
        consumer = ConsumerId(next(self._consumer_ids))
        _mailbox(source).open_consumer(consumer, mode, session, self._now)
        self._receives_from[consumer] = source
        self._watch(source)
        return consumer

    def set_credit(self, consumer: ConsumerId, credit: int, now: float) -> None:
        """How many messages may be delivered from now on, replacing what was left; what is there is Delivered at once.

        To drain: `set_credit(n)`, take the effects, `set_credit(0)`. A closed consumer is ignored.
        """
        self.advance(now)
        source = self._receives_from.get(consumer)
        if source is not None:
            _mailbox(source).set_credit(consumer, credit, self._now)
            self._watch(source)

    def add_credit(self, consumer: ConsumerId, credit: int, now: float) -> None:
        """As `set_credit`, on top of what is left."""
        self.advance(now)
        source = self._receives_from.get(consumer)
        if source is not None:
            _mailbox(source).add_credit(consumer, credit, self._now)
            self._watch(source)

    def close_consumer(self, consumer: ConsumerId, now: float) -> None:
        """No more deliveries; a wait for a session ends silently. A closed consumer is ignored.

        Messages it holds stay locked until settled or expired; but a session is given up, its locked messages
        returning uncounted.
        """
        self.advance(now)
        source = self._receives_from.pop(consumer, None)
        if source is not None:
            _mailbox(source).close_consumer(consumer, self._now)
            self._watch(source)

    # locked and deferred messages

    def settle(self, entity: str, lock_token: UUID, settlement: Settlement, now: float) -> None:
        """Raises MessageLockLostError, or SessionLockLostError where the entity has sessions.

        OperationNotAllowedError: a dead letter can't be dead-lettered.
        """
        source = self._enter(entity, now)
        _mailbox(source).settle(lock_token, settlement, self._now)
        self._watch(source)

    def renew_locks(self, entity: str, lock_tokens: Sequence[UUID], now: float) -> list[float]:
        """New locked-until times; all or none.

        Raises MessageLockLostError, OperationNotAllowedError where the session's lock counts.
        """
        return _mailbox(self._enter(entity, now)).renew_locks(lock_tokens, self._now)

    def receive_deferred(
        self, entity: str, sequence_numbers: Sequence[int], *, mode: ReceiveMode, session_id: str | None, now: float
    ) -> list[BrokeredMessage]:
        """All or none, locked (peek-lock) or removed. `session_id` where the entity has sessions: it must be locked.

        Raises MessageNotFoundError, SessionLockLostError.
        """
        source = self._enter(entity, now)
        try:
            return _mailbox(source).receive_deferred(sequence_numbers, mode, session_id, self._now)
        finally:
            self._watch(source)

    def peek(
        self, entity: str, *, from_sequence_number: int, count: int, session_id: str | None, now: float
    ) -> list[BrokeredMessage]:
        """Active (locked too), deferred and scheduled messages in order of sequence number; changes nothing.

        `session_id`: None for all sessions. O(messages in the entity).
        """
        source = self._enter(entity, now)
        by_number = attrgetter("sequence_number")
        entries = (
            entry
            for entry in _mailbox(source).entries()
            if entry.sequence_number >= from_sequence_number and session_id in (None, entry.message.session_id)
        )
        found = [entry.snapshot(shows_lock=False) for entry in heapq.nsmallest(count, entries, key=by_number)]
        if source.intake is not None:
            found += (
                scheduled
                for scheduled in source.intake.scheduled()
                if scheduled.sequence_number >= from_sequence_number
                and session_id in (None, scheduled.message.session_id)
            )
        return heapq.nsmallest(count, found, key=by_number)

    # sessions

    def renew_session_lock(self, entity: str, session_id: str, now: float) -> float:
        """The new locked-until time; raises SessionLockLostError."""
        return _mailbox(self._enter(entity, now)).sessions.renew(session_id, self._now)

    def session_state(self, entity: str, session_id: str, now: float) -> bytes | None:
        """Raises SessionLockLostError."""
        return _mailbox(self._enter(entity, now)).sessions.hold_of(session_id).session.state

    def set_session_state(self, entity: str, session_id: str, state: bytes | None, now: float) -> None:
        """None forgets the state. Raises SessionLockLostError."""
        _mailbox(self._enter(entity, now)).sessions.set_state(session_id, state, self._now)

    def list_sessions(self, entity: str, *, updated_after: float | None, skip: int, top: int, now: float) -> list[str]:
        """Sessions with ready or locked messages (None), or those whose state was set after this time; sorted by id."""
        sessions = _mailbox(self._enter(entity, now)).sessions
        ids = sessions.with_messages() if updated_after is None else sessions.updated_after(updated_after)
        return ids[skip : skip + top]

    # facts, as of the last call that told the time

    def facts(self, entity: str) -> EntityFacts:
        return self._entities.at(entity).facts

    def entities(self) -> Iterable[EntityFacts]:
        """Queues, topics and subscriptions, a topic after its subscriptions; no dead-letter queues."""
        return (entity.facts for entity in self._entities if entity.facts.kind is not EntityKind.DEAD_LETTER_QUEUE)

    def counts(self, entity: str) -> MessageCounts:
        """Of a topic only `scheduled`; O(1)."""
        asked = self._entities.at(entity)
        counts = asked.mailbox.counts() if asked.mailbox else MessageCounts()
        return replace(counts, scheduled=asked.intake.scheduled_count) if asked.intake else counts

    def messages(self, entity: str) -> list[BrokeredMessage]:
        """All of them in order of sequence number, lock tokens included."""
        asked = self._entities.at(entity)
        entries = asked.mailbox.entries() if asked.mailbox else iter(())
        found = [entry.snapshot() for entry in entries]
        if asked.intake is not None:
            found += asked.intake.scheduled()
        return sorted(found, key=attrgetter("sequence_number"))

    def _enter(self, path: str, now: float) -> Entity:
        self.advance(now)
        return self._entities.at(path)

    def _watch(self, entity: Entity) -> None:
        """Wake no later than the entity's earliest deadline; deadlines that vanish are found out on waking."""
        for part in entity.touches:
            deadline = part.next_deadline()
            if deadline < self._wake_at:  # noqa: PLR1730 - `min` here costs as much as the rest
                self._wake_at = deadline


def _intake(entity: Entity) -> Intake:
    if entity.intake is None:
        raise OperationNotAllowedError(f"{entity.facts.path} is a {entity.facts.kind.value}: nothing can be sent to it")
    return entity.intake


def _mailbox(entity: Entity) -> Mailbox:
    if entity.mailbox is None:
        raise OperationNotAllowedError(
            f"{entity.facts.path} is a {entity.facts.kind.value}: receive from a subscription of it"
        )
    return entity.mailbox
