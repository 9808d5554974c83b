"""A request queue with sessions in memory, and lanes that hold its sessions one at a time."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, SessionLost
from worker.core.session_note import Notes, SessionNote
from worker.core.settlement import Abandon, LeaveLocked, Settled, Settlement

from .fake_queue import BROKER, ROUND_TRIP_S, Counted, FakeLink, FakeQueue, Message, now


@dataclass(slots=True, eq=False)
class Hold:
    session: "FakeSession"
    lane: "FakeSessionLane"
    since: float
    locked_until: float

    @property
    def is_on(self) -> bool:
        return self.session.hold is self


@dataclass(slots=True, eq=False)
class FakeSession:
    """`waits_since`: with messages, for a holder."""

    id: str
    note: SessionNote | None = None
    hold: Hold | None = None
    waits_since: float = 0.0


@dataclass(kw_only=True)
class FakeSessionQueue(FakeQueue):
    """A session's lock covers what was delivered of it: its end counts, closing it doesn't. Lanes wait in `waiting`."""

    sessions: dict[str, FakeSession] = field(default_factory=dict)
    waiting: list["FakeSessionLane"] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            session_id = delivery.session_id or ""
            session = self.sessions.setdefault(session_id, FakeSession(session_id))
            if not self.messages_of(session):
                session.waits_since = now()
            self.messages.append(Message(delivery))
        self.push()
        self._pulse()

    def push(self) -> None:
        """Sessions to whoever waits for one, messages to whoever holds theirs and has credit."""
        while self.waiting and (session := self._next_free()) is not None:
            until = now() + self.lock_s
            session.hold = hold = Hold(session, self.waiting.pop(0), now(), until)
            hold.lane.grant(hold)
            self._ends_at(hold, until)
        for session in self.sessions.values():
            if session.hold is not None:
                self._deliver(session.hold)

    def renew_session(self, hold: Hold) -> None:
        hold.locked_until = now() + self.lock_s
        for message in self.messages_of(hold.session):
            if message.lock_token is not None:
                message.locked_until = hold.locked_until
        self._ends_at(hold, hold.locked_until)

    def end(self, hold: Hold, why: Counted | None) -> None:
        """None: it is given back, by its holder or because that is gone."""
        if not hold.is_on:
            return
        hold.lane.loses(hold, why)
        session = hold.session
        session.hold, session.waits_since = None, now()
        for message in self.messages_of(session):
            if message.lock_token is not None:
                self._unlock(message, why)
        self.push()

    def lose(self, session_id: str) -> None:
        hold = self.sessions[session_id].hold
        if hold is not None:
            self.end(hold, Counted.TAKEN)

    def lose_lock(self, sequence_number: int) -> None:
        for message in self.messages:
            if message.delivery.sequence_number == sequence_number:
                self.lose(message.delivery.session_id or "")
                return

    def messages_of(self, session: FakeSession) -> list[Message]:
        return [message for message in self.messages if message.delivery.session_id == session.id]

    def free(self) -> list[FakeSession]:
        """With messages, and held by nobody."""
        return [session for session in self.sessions.values() if session.hold is None and self.messages_of(session)]

    def longest_wait_s(self) -> float:
        return max((now() - session.waits_since for session in self.free()), default=0.0)

    def left(self) -> dict[str, list[Delivery]]:
        left: dict[str, list[Delivery]] = {}
        for message in self.messages:
            left.setdefault(message.delivery.session_id or "", []).append(message.delivery)
        return left

    def _next_free(self) -> FakeSession | None:
        """Whose turn it is: the one that was taken longest ago."""
        session = next(iter(self.free()), None)
        if session is not None:
            self.sessions[session.id] = self.sessions.pop(session.id)
        return session

    def _deliver(self, hold: Hold) -> None:
        lane = hold.lane
        for message in self.messages_of(hold.session):
            if lane.hold is hold and lane.credit > len(lane.buffer) and message.lock_token is None:
                token = f"token-{next(self._tokens)}"
                message.lock_token, message.locked_until = token, hold.locked_until
                self._locked[token] = message
                lane.deliver(replace(message.delivery, lock_token=token, locked_until=hold.locked_until))

    def _ends_at(self, hold: Hold, until: float) -> None:
        asyncio.get_running_loop().call_at(until, self._end_if_over, hold, context=BROKER)

    def _end_if_over(self, hold: Hold) -> None:
        if hold.locked_until <= now():
            self.end(hold, Counted.EXPIRED)

    def _end(self, message: Message, settlement: Settlement | None) -> None:
        super()._end(message, settlement)
        self._pulse()

    def _pulse(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeSessionLane(FakeLink):
    """Fits `bridge.ports.SessionLane`, and checks that it is used like one."""

    queue: FakeSessionQueue

    def __init__(self, queue: FakeSessionQueue) -> None:
        super().__init__(queue)
        self.accepted: list[str] = []
        self.renewals = 0
        self.hold: Hold | None = None
        self.locked_until = 0.0
        self._notes = Notes()
        self._in_hand: Delivery | None = None

    @property
    def session(self) -> FakeSession | None:
        return None if self.hold is None else self.hold.session

    def fail(self, outage: BusFailure, *, is_noticed: bool = False) -> None:
        """What the broker doesn't notice leaves the lock alive, but nobody's to use."""
        self.outage, self.is_open, self.credit = outage, False, 0
        self.buffer.clear()
        if is_noticed and self.hold is not None:
            self.queue.end(self.hold, None)
        self.stir()

    def grant(self, hold: Hold) -> None:
        self.hold = hold
        self.stir()

    def loses(self, hold: Hold, _why: Counted | None) -> None:
        if self.hold is hold:
            self.buffer.clear()
            self.credit = 0
            self.stir()

    async def accept(self, *, wait_s: float) -> bool:
        with self._alone("accept"):
            self._drop()
            await asyncio.sleep(self.opening_s)
            if self.outage is not None:
                raise self.outage
            self.is_open = True
            try:
                return await self._accept(wait_s)
            except BaseException:
                self._drop()
                raise

    async def receive(self, *, wait_s: float) -> Delivery | None:
        with self._alone("receive"):
            self._held_session()
            assert self._in_hand is None, "order: the one in hand is settled before the next is asked for"
            self.credit = 1
            self.queue.push()
            if not self.buffer:
                await self._wait(wait_s)
            if self.buffer:
                await asyncio.sleep(ROUND_TRIP_S)
            self._held_session()
            if not self.buffer:
                return None
            self.credit = 0
            self._in_hand = self._notes.told(self.buffer.pop())
            self.handed_out.append(self._in_hand)
            return self._in_hand

    async def begin(self, delivery: Delivery) -> None:
        with self._alone("begin"):
            await self._write(self._notes.begin(delivery))

    async def settle(self, settlement: Settlement) -> Settled:
        with self._alone("settle"):
            delivery, self._in_hand = self._in_hand, None
            if isinstance(settlement, LeaveLocked):
                return Settled.DONE
            if self.hold is None or delivery is None or self.locked_until <= now():
                return Settled.LOCK_LOST
            await asyncio.sleep(ROUND_TRIP_S)
            settled = self._settle_one(delivery, settlement)
            if settled is not Settled.DONE:
                self._drop()
            elif isinstance(settlement, Abandon):
                self._notes.counted()
            else:
                self._notes.gone()
            return settled

    async def renew_lock(self) -> bool:
        with self._alone("renew_lock"):
            await asyncio.sleep(ROUND_TRIP_S)
            if self.hold is None or not self.hold.is_on:
                self._drop()
                return False
            self._require_link()  # what it covers may still be settled, as far as anybody knows
            hold = self.hold
            self.queue.renew_session(hold)
            self.locked_until = hold.locked_until
            self.renewals += 1
            return True

    async def hand_back(self, *, is_uncalled: bool) -> None:
        with self._alone("hand_back"):
            if is_uncalled:
                self._notes.taken_back()
            if self.hold is not None:
                with suppress(BusFailure):
                    await self._write(self._notes.remaining)
            self._drop()

    async def close(self) -> None:
        with self._alone("close"):
            assert self.hold is None, "what is held is handed back first"

    async def _accept(self, wait_s: float) -> bool:
        self.queue.waiting.append(self)
        self.queue.push()
        if self.hold is None:
            await self._wait(wait_s)
        if self.hold is None:
            self._require_link()
            self._drop()
            return False
        await asyncio.sleep(ROUND_TRIP_S)
        session = self._held_session()
        self._notes, self.locked_until = Notes(session.note), self.hold.locked_until
        self.accepted.append(session.id)
        return True

    async def _write(self, note: SessionNote | None) -> None:
        if note == self._notes.written:
            return
        await asyncio.sleep(ROUND_TRIP_S)
        if self.session is not None and not self.is_open and self.applies_unconfirmed:
            self._note_in(self.session, note)
        self._note_in(self._held_session(), note)

    def _note_in(self, session: FakeSession, note: SessionNote | None) -> None:
        if self.hold is not None and self.hold.is_on:
            self._notes.written = session.note = note

    def _held_session(self) -> FakeSession:
        """Or why there is none; then nothing is left of it."""
        try:
            self._require_link()
            if self.hold is None or not self.hold.is_on:
                raise SessionLost("The session was lost.")
        except BusFailure:
            self._drop()
            raise
        return self.hold.session

    def _drop(self) -> None:
        """Closing the link gives the session back, at no delivery count."""
        hold, is_linked = self.hold, self.is_open
        self.hold, self.is_open, self.credit = None, False, 0
        self._in_hand = None
        self.buffer.clear()
        if self in self.queue.waiting:
            self.queue.waiting.remove(self)
        if hold is not None and is_linked:
            self.queue.end(hold, None)
