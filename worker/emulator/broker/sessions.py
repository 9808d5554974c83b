"""Sessions: who holds which, until when; what waits in them; their state."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.emulator.broker.consumer import Consumer, ConsumerId
from worker.emulator.broker.entry import Entry
from worker.emulator.broker.errors import SessionCannotBeLockedError, SessionLockLostError
from worker.emulator.broker.heap import IndexedHeap


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    id: str
    ready: IndexedHeap[int] = field(default_factory=IndexedHeap)
    locked: set[Entry] = field(default_factory=set)
    state: bytes | None = None
    state_set_at: float = -math.inf

    @property
    def has_messages(self) -> bool:
        return bool(self.ready) or bool(self.locked)


@dataclass(slots=True, kw_only=True, eq=False)
class SessionHold:
    session: Session
    consumer: Consumer
    locked_until: float


class Sessions:
    """Each message goes to the consumer that holds its session; holders with credit take turns."""

    def __init__(self, lock_s: float) -> None:
        self._lock_s = lock_s
        self._sessions: dict[str, Session] = {}
        self._free: OrderedDict[str, Session] = OrderedDict()
        """Not held and with ready messages: the one free for longest is granted next."""
        self._held: OrderedDict[str, SessionHold] = OrderedDict()
        """By `locked_until`: all locks last equally long, so the one taken or renewed last stands last."""
        self._hungry: OrderedDict[str, SessionHold] = OrderedDict()
        """Held, with ready messages and a consumer with credit: the one served longest ago is next."""
        self._waiting: OrderedDict[ConsumerId, tuple[Consumer, float]] = OrderedDict()
        self._patience: IndexedHeap[tuple[float, ConsumerId]] = IndexedHeap()

    # messages

    def offer(self, entry: Entry) -> None:
        session = self._open(entry.session_id)
        session.ready.add(entry.sequence_number)
        self._reindex(session)

    def withdraw(self, entry: Entry) -> None:
        session = self._sessions[entry.session_id]
        session.ready.discard(entry.sequence_number)
        self._reindex(session)

    def credit_changed(self, consumer: Consumer) -> None:
        if consumer.session_id is not None:
            self._reindex(self._sessions[consumer.session_id])

    def next_delivery(self) -> tuple[Consumer, int] | None:
        """The consumer, its credit already taken, and the sequence number, no longer offered."""
        if not self._hungry:
            return None
        hold = next(iter(self._hungry.values()))
        self._hungry.move_to_end(hold.session.id)
        hold.consumer.credit -= 1
        sequence_number = hold.session.ready.pop()
        self._reindex(hold.session)
        return hold.consumer, sequence_number

    def lock(self, entry: Entry) -> float:
        """Put the message under its session's lock; until when."""
        hold = self._held[entry.session_id]
        hold.session.locked.add(entry)
        return hold.locked_until

    def unlock(self, entry: Entry) -> None:
        session = self._sessions[entry.session_id]
        session.locked.remove(entry)
        self._reindex(session)

    # consumers

    def accept(self, consumer: Consumer, session_id: str, now: float) -> float:
        """Locked until when; raises SessionCannotBeLockedError."""
        held = self._held.get(session_id)
        if held is not None:
            raise SessionCannotBeLockedError(
                f"session {session_id!r} is held by another consumer until {held.locked_until:.3f}: "
                "accept it again when that one has closed it or lost it"
            )
        return self._grant(consumer, self._open(session_id), now).locked_until

    def wait(self, consumer: Consumer, deadline: float) -> None:
        """Line up for the next free session."""
        self._waiting[consumer.id] = (consumer, deadline)
        self._patience.add((deadline, consumer.id))

    def grant_free(self, now: float) -> Iterator[SessionHold]:
        """Free sessions go to those who wait, first come, first served."""
        while self._waiting and self._free:
            _, (consumer, deadline) = self._waiting.popitem(last=False)
            self._patience.discard((deadline, consumer.id))
            yield self._grant(consumer, next(iter(self._free.values())), now)

    def timed_out(self, now: float) -> Iterator[ConsumerId]:
        """Those who waited in vain; they wait no longer."""
        while (first := self._patience.first()) is not None and first[0] <= now:
            self._patience.pop()
            del self._waiting[first[1]]
            yield first[1]

    def lost(self, now: float) -> Iterator[SessionHold]:
        """Holds whose lock expired, ended; their sessions' locked messages are the caller's to return."""
        while self._held and (hold := next(iter(self._held.values()))).locked_until <= now:
            self._end(hold)
            yield hold

    def leave(self, consumer: Consumer) -> SessionHold | None:
        """Stop waiting; or end the hold and say which: its session's locked messages are the caller's to return."""
        waiting = self._waiting.pop(consumer.id, None)
        if waiting is not None:
            self._patience.discard((waiting[1], consumer.id))
        if consumer.session_id is None:
            return None
        hold = self._held[consumer.session_id]
        self._end(hold)
        return hold

    # under a session's lock

    def hold_of(self, session_id: str) -> SessionHold:
        """Raises SessionLockLostError."""
        hold = self._held.get(session_id)
        if hold is None:
            raise SessionLockLostError(f"session {session_id!r} is not locked (any more): accept it again")
        return hold

    def renew(self, session_id: str, now: float) -> float:
        """Raises SessionLockLostError."""
        hold = self.hold_of(session_id)
        hold.locked_until = now + self._lock_s
        self._held.move_to_end(session_id)
        for entry in hold.session.locked:
            entry.locked_until = hold.locked_until
        return hold.locked_until

    def set_state(self, session_id: str, state: bytes | None, now: float) -> None:
        """Raises SessionLockLostError."""
        session = self.hold_of(session_id).session
        session.state = state
        session.state_set_at = now

    # facts

    def with_messages(self) -> list[str]:
        """Sorted."""
        return sorted(session.id for session in self._sessions.values() if session.has_messages)

    def updated_after(self, at: float) -> list[str]:
        """Those whose state was set later than `at`; sorted."""
        return sorted(
            session.id for session in self._sessions.values() if session.state is not None and session.state_set_at > at
        )

    def next_deadline(self) -> float:
        lock_expires_at = next(iter(self._held.values())).locked_until if self._held else math.inf
        waiter = self._patience.first()
        return min(lock_expires_at, waiter[0]) if waiter else lock_expires_at

    # the indexes

    def _open(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = Session(id=session_id)
        return session

    def _grant(self, consumer: Consumer, session: Session, now: float) -> SessionHold:
        consumer.session_id = session.id
        hold = self._held[session.id] = SessionHold(session=session, consumer=consumer, locked_until=now + self._lock_s)
        self._reindex(session)
        return hold

    def _end(self, hold: SessionHold) -> None:
        hold.consumer.session_id = None
        del self._held[hold.session.id]
        self._reindex(hold.session)

    def _reindex(self, session: Session) -> None:
        """Put a changed session where it belongs, keeping its turn there; forget it when nothing is left to know."""
        hold = self._held.get(session.id)
        if session.ready and hold is None:
            self._free.setdefault(session.id, session)
        else:
            self._free.pop(session.id, None)
        if session.ready and hold is not None and hold.consumer.credit > 0:
            self._hungry.setdefault(session.id, hold)
        else:
            self._hungry.pop(session.id, None)
        if hold is None and not session.has_messages and session.state is None:
            self._sessions.pop(session.id, None)
