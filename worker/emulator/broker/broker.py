"""The whole broker behind one door: finds the entity by its path and hands the call on.

Paths are `queue`, `topic`, `topic/Subscriptions/name`, each receivable one also with `/$DeadLetterQueue`; letter case doesn't matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from worker.emulator.broker.consumer import ConsumerId, ReceiveMode, SessionChoice
from worker.emulator.broker.effects import Effect
from worker.emulator.broker.facts import EntityFacts, MessageCounts
from worker.emulator.broker.message import BrokeredMessage, Message
from worker.emulator.broker.settlement import Settlement
from worker.emulator.broker.topology import Topology


class Broker:
    """Every call may add effects: take them with `take_effects` afterwards, in order."""

    def __init__(self, topology: Topology, *, lock_token_salt: int) -> None:
        """`lock_token_salt`: 64 bits, another for every broker made, so that one's lock tokens mean nothing to the next."""
        raise NotImplementedError

    # time and effects

    def take_effects(self) -> list[Effect]:
        """What happened since the last time, oldest first."""
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Do what has come due: locks, times to live, scheduled messages, session accepts."""
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When `advance` has something to do at the earliest; may be too early, never too late; O(1)."""
        raise NotImplementedError

    # sending

    def send(self, entity: str, messages: Sequence[Message], now: float) -> None:
        """Take all messages or none. A duplicate is taken and dropped; a `scheduled_for` ahead is scheduled.

        Raises EntityNotFoundError, OperationNotAllowedError, MessageSizeExceededError, QuotaExceededError.
        """
        raise NotImplementedError

    def schedule(self, entity: str, messages: Sequence[Message], now: float) -> list[int]:
        """`send`, answering with the sequence numbers to cancel by (a duplicate's is that of the first one)."""
        raise NotImplementedError

    def cancel_scheduled(self, entity: str, sequence_numbers: Sequence[int], now: float) -> None:
        """Cancel all or none; raises MessageNotFoundError."""
        raise NotImplementedError

    # consumers

    def open_consumer(self, entity: str, *, mode: ReceiveMode, session: SessionChoice | None, now: float) -> ConsumerId:
        """Starts with no credit. With a session, SessionAccepted or SessionAcceptTimedOut follows, at once or later.

        Raises EntityNotFoundError, OperationNotAllowedError (session given where none is kept, or the reverse), SessionCannotBeLockedError.
        """
        raise NotImplementedError

    def set_credit(self, consumer: ConsumerId, credit: int, now: float) -> None:
        """How many messages may be delivered from now on, replacing what was left; what is there is Delivered at once.

        To drain: `set_credit(n)`, take the effects, `set_credit(0)`. Unknown (closed) consumers are ignored.
        """
        raise NotImplementedError

    def add_credit(self, consumer: ConsumerId, credit: int, now: float) -> None:
        """As `set_credit`, on top of what is left."""
        raise NotImplementedError

    def close_consumer(self, consumer: ConsumerId, now: float) -> None:
        """No more deliveries; a wait for a session ends silently.

        Messages it holds stay locked until settled or expired, but a session is given up, its locked messages return uncounted.
        """
        raise NotImplementedError

    # locked messages

    def settle(self, entity: str, lock_token: UUID, settlement: Settlement, now: float) -> None:
        """Raises MessageLockLostError; SessionLockLostError where the entity has sessions; OperationNotAllowedError for a dead letter's dead-lettering."""
        raise NotImplementedError

    def renew_locks(self, entity: str, lock_tokens: Sequence[UUID], now: float) -> list[float]:
        """New locked-until times; all or none. Raises MessageLockLostError, OperationNotAllowedError where the session's lock counts."""
        raise NotImplementedError

    def receive_deferred(
        self, entity: str, sequence_numbers: Sequence[int], *, mode: ReceiveMode, session_id: str | None, now: float
    ) -> list[BrokeredMessage]:
        """All or none, locked (peek-lock) or removed. `session_id` where the entity has sessions: it must be locked.

        Raises MessageNotFoundError, SessionLockLostError.
        """
        raise NotImplementedError

    def peek(
        self, entity: str, *, from_sequence_number: int, count: int, session_id: str | None, now: float
    ) -> list[BrokeredMessage]:
        """Active (locked too), deferred and scheduled messages in order of sequence number; changes nothing."""
        raise NotImplementedError

    # sessions

    def renew_session_lock(self, entity: str, session_id: str, now: float) -> float:
        """The new locked-until time; raises SessionLockLostError."""
        raise NotImplementedError

    def session_state(self, entity: str, session_id: str, now: float) -> bytes | None:
        """Raises SessionLockLostError."""
        raise NotImplementedError

    def set_session_state(self, entity: str, session_id: str, state: bytes | None, now: float) -> None:
        """None forgets the state. Raises SessionLockLostError."""
        raise NotImplementedError

    def list_sessions(
        self, entity: str, *, updated_after: float | None, skip: int, top: int, now: float
    ) -> list[str]:
        """Sessions with messages (None), or those whose state was set after this time; sorted by id."""
        raise NotImplementedError

    # facts

    def facts(self, entity: str) -> EntityFacts:
        """Raises EntityNotFoundError."""
        raise NotImplementedError

    def entities(self) -> Iterable[EntityFacts]:
        """Queues, topics and subscriptions, in the topology's order; no sub-queues."""
        raise NotImplementedError

    def counts(self, entity: str) -> MessageCounts:
        """Of a queue, subscription or dead-letter queue; of a topic only `scheduled`. As of the last call that told the time."""
        raise NotImplementedError

    def messages(self, entity: str) -> Iterator[BrokeredMessage]:
        """All of them in order of sequence number, lock tokens included."""
        raise NotImplementedError
