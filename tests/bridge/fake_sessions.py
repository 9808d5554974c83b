"""A request queue with sessions in memory, and lanes that hold its sessions one at a time."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, SessionLost
from worker.core.session_note import SessionNote, begun_before
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement

from .fake_queue import ROUND_TRIP_S, now


@dataclass(eq=False)
class FakeSession:
    id: str
    messages: deque[Delivery] = field(default_factory=deque)
    note: SessionNote | None = None
    holder: "FakeSessionLane | None" = None
    locked_until: float = 0.0

    @property
    def is_free(self) -> bool:
        return bool(self.messages) and (self.holder is None or self.locked_until <= now())


@dataclass(kw_only=True)
class FakeSessionQueue:
    """`ended` tells in order how each message left; what was abandoned too often leaves as None."""

    lock_s: float = 60.0
    max_delivery_count: int = 10
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    ended: list[tuple[Delivery, Settlement | None]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            session_id = delivery.session_id or ""
            self.sessions.setdefault(session_id, FakeSession(session_id)).messages.append(delivery)
        self.pulse()

    def pulse(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def next_free(self) -> FakeSession | None:
        """Whose turn it is: the one that was taken longest ago."""
        free = next((session for session in self.sessions.values() if session.is_free), None)
        if free is not None:
            self.sessions[free.id] = self.sessions.pop(free.id)
        return free

    def lose(self, session_id: str) -> None:
        self.sessions[session_id].holder = None
        self.pulse()

    def settle(self, session: FakeSession, settlement: Settlement) -> None:
        delivery = session.messages[0]
        if isinstance(settlement, Abandon):
            session.messages[0] = delivery = replace(delivery, delivery_count=delivery.delivery_count + 1)
            if delivery.delivery_count < self.max_delivery_count:
                return
        session.messages.popleft()
        told = None if isinstance(settlement, Abandon) else settlement
        self.ended.append((delivery, told))
        self.pulse()

    def left(self) -> dict[str, list[Delivery]]:
        return {session.id: list(session.messages) for session in self.sessions.values() if session.messages}


class FakeSessionLane:
    """Fits `bridge.ports.SessionLane`, and checks that it is used like one. While `outage` is set the link is lost."""

    def __init__(self, queue: FakeSessionQueue) -> None:
        self.queue = queue
        self.outage: BusFailure | None = None
        self.confirms = True
        self.session: FakeSession | None = None
        self.accepted: list[str] = []
        self.handed_out: list[Delivery] = []
        self.renewals = 0
        self._in_use_by: str | None = None
        self._in_hand: Delivery | None = None

    def fail(self, outage: BusFailure) -> None:
        """The lock lives on, but is nobody's to use."""
        self.outage, self.session = outage, None

    async def accept(self, *, wait_s: float) -> bool:
        with self._alone("accept"):
            await asyncio.sleep(0.05)
            self._fail_if_out()
            until = now() + wait_s
            while (session := self.queue.next_free()) is None:
                try:
                    async with asyncio.timeout_at(until):
                        await self.queue.changed.wait()
                except TimeoutError:
                    return False
                self._fail_if_out()
            session.holder, session.locked_until = self, now() + self.queue.lock_s
            asyncio.get_running_loop().call_at(session.locked_until + 0.001, self.queue.pulse)
            self.session = session
            self.accepted.append(session.id)
            return True

    @property
    def locked_until(self) -> float:
        return 0.0 if self.session is None else self.session.locked_until

    async def receive(self, *, wait_s: float) -> Delivery | None:
        with self._alone("receive"):
            session = self._held()
            assert self._in_hand is None, "order: the one in hand is settled before the next is asked for"
            until = now() + wait_s
            while not session.messages and now() < until:
                try:
                    async with asyncio.timeout_at(until):
                        await self.queue.changed.wait()
                except TimeoutError:
                    return None
            await asyncio.sleep(ROUND_TRIP_S)
            session = self._held()
            if not session.messages:
                return None
            delivery = session.messages[0]
            self._in_hand = replace(
                delivery,
                locked_until=session.locked_until,
                delivery_count=delivery.delivery_count + begun_before(session.note, delivery.sequence_number),
            )
            self.handed_out.append(self._in_hand)
            return self._in_hand

    async def begin(self, delivery: Delivery) -> None:
        with self._alone("begin"):
            await asyncio.sleep(ROUND_TRIP_S)
            session = self._held()
            before = begun_before(session.note, delivery.sequence_number)
            session.note = SessionNote(sequence_number=delivery.sequence_number, times=before + 1)

    async def settle(self, settlement: Settlement) -> Settled:
        with self._alone("settle"):
            await asyncio.sleep(ROUND_TRIP_S)
            self._in_hand = None
            if isinstance(settlement, LeaveLocked):
                return Settled.DONE
            session, self.session = self.session, None
            if session is None or session.holder is not self or session.locked_until <= now():
                return Settled.LOCK_LOST
            assert isinstance(settlement, Complete | DeadLetter | Abandon)
            self.queue.settle(session, settlement)
            if not self.confirms:
                return Settled.FAILED
            self.session = session
            return Settled.DONE

    async def renew_lock(self) -> bool:
        with self._alone("renew_lock"):
            await asyncio.sleep(ROUND_TRIP_S)
            self._fail_if_out()
            session = self.session
            if session is None or session.holder is not self or session.locked_until <= now():
                self.session = None
                return False
            session.locked_until = now() + self.queue.lock_s
            asyncio.get_running_loop().call_at(session.locked_until + 0.001, self.queue.pulse)
            self.renewals += 1
            return True

    async def hand_back(self) -> None:
        with self._alone("hand_back"):
            session, self.session, self._in_hand = self.session, None, None
            await asyncio.sleep(ROUND_TRIP_S)
            if session is not None and session.holder is self:
                session.note, session.holder = None, None
                self.queue.pulse()

    async def close(self) -> None:
        with self._alone("close"):
            assert self.session is None, "what is held is handed back first"

    def _held(self) -> FakeSession:
        self._fail_if_out()
        if self.session is None or self.session.holder is not self:
            self.session = None
            raise SessionLost("The session was lost.")
        return self.session

    def _fail_if_out(self) -> None:
        if self.outage is not None:
            raise self.outage

    @contextmanager
    def _alone(self, call: str) -> Iterator[None]:
        assert self._in_use_by is None, f"{call} during {self._in_use_by}"
        self._in_use_by = call
        try:
            yield
        finally:
            self._in_use_by = None
