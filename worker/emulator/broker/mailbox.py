"""The receivable half of an entity: the messages of a queue, subscription or dead-letter queue, and their consumers.

A message is ready (offered to the consumers, and in `_expiring` if it has an end), locked, or deferred.
Whatever is due by `now` has been done (`advance`) before anything else is called.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID

from worker.emulator.broker.competing import CompetingConsumers
from worker.emulator.broker.consumer import Consumer, ConsumerId, NamedSession, NextSession, ReceiveMode, SessionChoice
from worker.emulator.broker.effects import Delivered, Effect, SessionAccepted, SessionAcceptTimedOut, SessionLost
from worker.emulator.broker.entry import Entry
from worker.emulator.broker.errors import (
    MessageLockLostError,
    MessageNotFoundError,
    OperationNotAllowedError,
    SessionLockLostError,
)
from worker.emulator.broker.facts import MessageCounts
from worker.emulator.broker.heap import IndexedHeap
from worker.emulator.broker.locks import Locks
from worker.emulator.broker.message import BrokeredMessage, PropertyValue
from worker.emulator.broker.sessions import Sessions
from worker.emulator.broker.settlement import Abandon, Complete, DeadLetter, Defer, Release, Settlement
from worker.emulator.broker.tokens import LockTokens

# What Service Bus itself writes into DeadLetterReason.
EXPIRED: Final = "TTLExpiredException"
DELIVERED_TOO_OFTEN: Final = "MaxDeliveryCountExceeded"
SESSION_ID_MISSING: Final = "Session ID is null."


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxRules:
    lock_s: float
    max_delivery_count: int
    dead_letters_on_expiry: bool
    requires_session: bool


class Mailbox:
    def __init__(
        self,
        path: str,
        rules: MailboxRules,
        *,
        dead_letters: "Mailbox | None",
        tokens: LockTokens,
        effects: list[Effect],
    ) -> None:
        """`dead_letters`: None makes this a dead-letter queue: nothing expires, no delivery is one too many."""
        self._path = path
        self._rules = rules
        self._dead_letters = dead_letters
        self._effects = effects
        self._entries: dict[int, Entry] = {}
        self._locks = Locks(tokens)
        self._deferred: set[int] = set()
        self._expiring: IndexedHeap[tuple[float, int]] = IndexedHeap()
        self._consumers: dict[ConsumerId, Consumer] = {}
        self._sessions = Sessions(rules.lock_s) if rules.requires_session else None
        self._assignment: CompetingConsumers | Sessions = self._sessions or CompetingConsumers()
        self._own_bytes = 0

    # in

    def put(self, entry: Entry, now: float) -> None:
        self._entries[entry.sequence_number] = entry
        self._own_bytes += len(entry.message.payload)
        if self._sessions is not None and not entry.session_id:
            self._dead_letter(entry, SESSION_ID_MISSING, f"{self._path} takes only messages with a session id", now)
        else:
            self._make_ready(entry, now)
        self._deliver(now)

    # time

    def advance(self, now: float) -> None:
        if now < self.next_deadline():
            return
        if self._sessions is None:
            while (entry := self._locks.first_expired(now)) is not None:
                self._return(entry, now, failed=True)
        else:
            for hold in self._sessions.lost(now):
                del self._consumers[hold.consumer.id]
                self._effects.append(SessionLost(consumer=hold.consumer.id, session_id=hold.session.id))
                self._return_all(hold.session.locked, now, failed=True)
            for consumer_id in self._sessions.timed_out(now):
                del self._consumers[consumer_id]
                self._effects.append(SessionAcceptTimedOut(consumer=consumer_id))
        while (first := self._expiring.first()) is not None and first[0] <= now:
            entry = self._entries[first[1]]
            self._withdraw(entry)
            self._expire(entry, now)
        self._deliver(now)

    def next_deadline(self) -> float:
        """Infinity when there is none."""
        expiring = self._expiring.first()
        held = self._locks if self._sessions is None else self._sessions
        return min(held.next_deadline(), expiring[0]) if expiring else held.next_deadline()

    # consumers

    def open_consumer(
        self, consumer_id: ConsumerId, mode: ReceiveMode, session: SessionChoice | None, now: float
    ) -> None:
        """Raises OperationNotAllowedError, SessionCannotBeLockedError."""
        consumer = Consumer(id=consumer_id, mode=mode)
        match session:
            case None:
                if self._sessions is not None:
                    raise OperationNotAllowedError(
                        f"{self._path} keeps sessions: accept one, a plain receiver gets nothing"
                    )
            case NamedSession(session_id=session_id):
                until = self.sessions.accept(consumer, session_id, now)
                self._effects.append(SessionAccepted(consumer=consumer_id, session_id=session_id, locked_until=until))
            case NextSession(timeout_s=timeout_s):
                self.sessions.wait(consumer, now + timeout_s)
            case _:
                assert_never(session)
        self._consumers[consumer_id] = consumer
        self._deliver(now)

    def set_credit(self, consumer_id: ConsumerId, credit: int, now: float) -> None:
        consumer = self._consumers[consumer_id]
        consumer.credit = credit
        self._assignment.credit_changed(consumer)
        self._deliver(now)

    def add_credit(self, consumer_id: ConsumerId, credit: int, now: float) -> None:
        self.set_credit(consumer_id, self._consumers[consumer_id].credit + credit, now)

    def close_consumer(self, consumer_id: ConsumerId, now: float) -> None:
        consumer = self._consumers.pop(consumer_id)
        consumer.credit = 0
        self._assignment.credit_changed(consumer)
        if self._sessions is not None:
            hold = self._sessions.leave(consumer)
            if hold is not None:
                # Microsoft Learn, "Message sessions", Impact of delivery count: closing adds none.
                self._return_all(hold.session.locked, now, failed=False)
        self._deliver(now)

    @property
    def sessions(self) -> Sessions:
        """Raises OperationNotAllowedError."""
        if self._sessions is None:
            raise OperationNotAllowedError(f"{self._path} keeps no sessions: receive without one")
        return self._sessions

    # locked messages

    def settle(self, lock_token: UUID, settlement: Settlement, now: float) -> None:
        entry = self._locked(lock_token)
        match settlement:
            case Complete():
                self._remove(entry)
            case Abandon(properties=properties):
                entry.add_properties(properties)
                self._return(entry, now, failed=True)
            case Defer(properties=properties):
                entry.add_properties(properties)
                entry.deferred = True
                self._return(entry, now, failed=False)
            case DeadLetter(reason=reason, description=description, properties=properties):
                if self._dead_letters is None:
                    raise OperationNotAllowedError(
                        f"{self._path} is a dead-letter queue: complete the message, or abandon it"
                    )
                entry.add_properties(properties)
                self._dead_letter(entry, reason, description, now)
            case Release():
                self._return(entry, now, failed=False)
            case _:
                assert_never(settlement)
        self._deliver(now)

    def renew_locks(self, lock_tokens: Sequence[UUID], now: float) -> list[float]:
        if self._sessions is not None:
            raise OperationNotAllowedError(
                f"{self._path} keeps sessions: renew the session's lock, it covers its messages"
            )
        for token in lock_tokens:
            self._locked(token)
        until = now + self._rules.lock_s
        for token in lock_tokens:
            self._locks.renew(token, until)
        return [until] * len(lock_tokens)

    def receive_deferred(
        self, sequence_numbers: Sequence[int], mode: ReceiveMode, session_id: str | None, now: float
    ) -> list[BrokeredMessage]:
        if self._sessions is not None:
            self._sessions.hold_of(session_id or "")
        # Microsoft Learn, "Message deferral": a deferred message is looked at for expiry only when it is asked for.
        wanted = dict.fromkeys(sequence_numbers)
        for number in wanted:
            if number in self._deferred and (entry := self._entries[number]).is_expired(now):
                self._deferred.remove(number)
                self._expire(entry, now)
        entries = [self._deferred_entry(number, session_id) for number in wanted]
        for entry in entries:
            self._deferred.remove(entry.sequence_number)
            self._hold(entry, mode, now)
        return [entry.snapshot() for entry in entries]

    # facts

    @property
    def size_bytes(self) -> int:
        """Payloads, those of the dead letters too."""
        return self._own_bytes + (self._dead_letters.size_bytes if self._dead_letters else 0)

    def counts(self) -> MessageCounts:
        return MessageCounts(
            ready=len(self._entries) - len(self._locks) - len(self._deferred),
            locked=len(self._locks),
            deferred=len(self._deferred),
            dead_lettered=self._dead_letters.message_count if self._dead_letters else 0,
        )

    @property
    def message_count(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        """In no order."""
        return iter(self._entries.values())

    # one message's way

    def _make_ready(self, entry: Entry, now: float) -> None:
        if entry.is_expired(now):
            self._expire(entry, now)
            return
        if entry.expires_at is not None:
            self._expiring.add((entry.expires_at, entry.sequence_number))
        self._assignment.offer(entry)

    def _withdraw(self, entry: Entry) -> None:
        self._no_longer_expiring(entry)
        self._assignment.withdraw(entry)

    def _no_longer_expiring(self, entry: Entry) -> None:
        """A locked message doesn't expire; whether it has is looked at again when it comes back."""
        if entry.expires_at is not None:
            self._expiring.discard((entry.expires_at, entry.sequence_number))

    def _deliver(self, now: float) -> None:
        """Whatever can go out, goes."""
        if self._sessions is not None:
            for hold in self._sessions.grant_free(now):
                self._effects.append(
                    SessionAccepted(
                        consumer=hold.consumer.id, session_id=hold.session.id, locked_until=hold.locked_until
                    )
                )
        while (delivery := self._assignment.next_delivery()) is not None:
            consumer, sequence_number = delivery
            entry = self._entries[sequence_number]
            self._no_longer_expiring(entry)
            self._hold(entry, consumer.mode, now)
            self._effects.append(Delivered(consumer=consumer.id, message=entry.snapshot()))

    def _hold(self, entry: Entry, mode: ReceiveMode, now: float) -> None:
        if mode is ReceiveMode.RECEIVE_AND_DELETE:
            self._remove(entry)
        else:
            until = self._sessions.lock(entry) if self._sessions is not None else now + self._rules.lock_s
            self._locks.take(entry, until)

    def _return(self, entry: Entry, now: float, *, failed: bool) -> None:
        """Give up a message's lock: it is ready again, stays deferred, or has had its chances."""
        self._unlock(entry)
        if failed:
            entry.delivery_count += 1
        if self._dead_letters is not None and entry.delivery_count >= self._rules.max_delivery_count:
            attempts = f"{entry.delivery_count} deliveries of it failed, the most {self._path} allows"
            self._dead_letter(entry, DELIVERED_TOO_OFTEN, attempts, now)
        elif entry.deferred:
            self._deferred.add(entry.sequence_number)
        else:
            self._make_ready(entry, now)

    def _return_all(self, entries: Iterable[Entry], now: float, *, failed: bool) -> None:
        for entry in sorted(entries, key=lambda entry: entry.sequence_number):
            self._return(entry, now, failed=failed)

    def _expire(self, entry: Entry, now: float) -> None:
        if self._rules.dead_letters_on_expiry:
            self._dead_letter(entry, EXPIRED, f"its time to live in {self._path} ended at {entry.expires_at}", now)
        else:
            self._remove(entry)

    def _dead_letter(self, entry: Entry, reason: str | None, description: str | None, now: float) -> None:
        self._remove(entry)
        if self._dead_letters is None:
            return
        given: Mapping[str, PropertyValue] = {
            "DeadLetterReason": reason,
            "DeadLetterErrorDescription": description,
        }
        entry.add_properties({name: value for name, value in given.items() if value is not None})
        entry.dead_letter_source = self._path
        entry.deferred = False
        entry.expires_at = None
        self._dead_letters.put(entry, now)

    def _remove(self, entry: Entry) -> None:
        self._unlock(entry)
        del self._entries[entry.sequence_number]
        self._own_bytes -= len(entry.message.payload)

    def _unlock(self, entry: Entry) -> None:
        if entry.lock_token is None:
            return
        self._locks.drop(entry)
        if self._sessions is not None:
            self._sessions.unlock(entry)

    def _locked(self, lock_token: UUID) -> Entry:
        try:
            return self._locks.find(lock_token)
        except MessageLockLostError as lost:
            if self._sessions is None:
                raise
            raise SessionLockLostError(f"{lost}; its lock was the session's") from lost

    def _deferred_entry(self, sequence_number: int, session_id: str | None) -> Entry:
        entry = self._entries[sequence_number] if sequence_number in self._deferred else None
        if entry is None or (self._sessions is not None and entry.message.session_id != session_id):
            raise MessageNotFoundError(
                f"{self._path} has no deferred message {sequence_number}: "
                "it is settled, expired, locked, of another session, or was never deferred"
            )
        return entry
