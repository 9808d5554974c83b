"""What the broker should do, as one would explain it on paper: lists and scans, in virtual time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from worker.emulator.broker import Message, MessageState, ReceiveMode

LOCK_S = 30.0
MAX_DELIVERIES = 2
WINDOW_S = 40.0
DEFAULT_TTL_S = 50.0
QUEUES = ("plain", "kept")
ENTITIES = (*QUEUES, *(f"{queue}/$DeadLetterQueue" for queue in QUEUES))

Happening = tuple[Any, ...]


@dataclass(eq=False)
class Letter:
    number: int
    message: Message
    expires_at: float | None
    status: str = "ready"
    deferred: bool = False
    failed: int = 0
    until: float = 0
    token: UUID | None = None
    reason: object = None


@dataclass(eq=False)
class Taker:
    id: int
    mode: ReceiveMode
    credit: int = 0
    session: str | None = None
    until: float = 0
    patience: float | None = None


@dataclass(eq=False)
class Box:
    """A mailbox as one would explain it on paper."""

    happenings: list[Happening]
    dead: "Box | None" = None
    keeps_sessions: bool = False
    dead_letters_on_expiry: bool = False
    letters: list[Letter] = field(default_factory=list)
    takers: list[Taker] = field(default_factory=list)
    turns: list[Taker] = field(default_factory=list)
    locks: list[Letter] = field(default_factory=list)
    holds: list[Taker] = field(default_factory=list)
    waiting: list[Taker] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)

    def put(self, letter: Letter, now: float) -> None:
        self.letters.append(letter)
        self.ready(letter, now)
        self.deliver(now)

    def ready(self, letter: Letter, now: float) -> None:
        letter.status = "ready"
        if letter.expires_at is not None and letter.expires_at <= now:
            self.expire(letter, now)
        self.look_for_free()

    def expire(self, letter: Letter, now: float) -> None:
        if self.dead_letters_on_expiry:
            self.bury(letter, "TTLExpiredException", now)
        else:
            self.remove(letter)

    def bury(self, letter: Letter, reason: object, now: float) -> None:
        self.remove(letter)
        assert self.dead is not None
        letter.reason, letter.deferred, letter.expires_at, letter.token = reason, False, None, None
        self.dead.put(letter, now)

    def remove(self, letter: Letter) -> None:
        self.letters.remove(letter)
        if letter in self.locks:
            self.locks.remove(letter)
        self.look_for_free()

    def give_back(self, letter: Letter, now: float, *, failed: bool) -> None:
        self.locks.remove(letter)
        letter.token = None
        letter.failed += failed
        if self.dead is not None and letter.failed >= MAX_DELIVERIES:
            self.bury(letter, "MaxDeliveryCountExceeded", now)
        elif letter.deferred:
            letter.status = "deferred"
        else:
            self.ready(letter, now)

    def end(self, taker: Taker, now: float, *, failed: bool) -> None:
        self.holds.remove(taker)
        session, taker.session = taker.session, None
        self.look_for_free()
        for letter in sorted(self.locks, key=lambda letter: letter.number):
            if letter.message.session_id == session:
                self.give_back(letter, now, failed=failed)

    def look_for_free(self) -> None:
        held = {taker.session for taker in self.holds}
        open_sessions = {m.message.session_id for m in self.letters if m.status == "ready"} - held
        self.free = [session for session in self.free if session in open_sessions]
        self.free += [session for session in open_sessions if session and session not in self.free]

    def hold(self, taker: Taker, session: str, now: float) -> None:
        taker.session, taker.until = session, now + LOCK_S
        self.holds.append(taker)
        self.happenings.append((taker.id, "accepted", session, taker.until))
        self.look_for_free()

    def deliver(self, now: float) -> None:
        while self.keeps_sessions and self.waiting and self.free:
            self.hold(self.waiting.pop(0), self.free[0], now)
        for taker in self.holds:
            while taker.credit and (ready := self.offered(taker.session)):
                self.hand_out(ready[0], taker, now)
        while not self.keeps_sessions and self.turns and (ready := self.offered(None)):
            taker = self.turns.pop(0)
            self.hand_out(ready[0], taker, now)
            if taker.credit:
                self.turns.append(taker)

    def offered(self, session: str | None) -> list[Letter]:
        ready = [m for m in self.letters if m.status == "ready" and session in (None, m.message.session_id)]
        return sorted(ready, key=lambda letter: letter.number)

    def hand_out(self, letter: Letter, taker: Taker, now: float) -> None:
        taker.credit -= 1
        self.lock(letter, taker.mode, now)
        self.happenings.append((taker.id, "delivered", letter.number, letter.failed, letter.reason))

    def lock(self, letter: Letter, mode: ReceiveMode, now: float) -> None:
        if mode is ReceiveMode.RECEIVE_AND_DELETE:
            self.remove(letter)
        else:
            letter.status, letter.until, letter.token = "locked", now + LOCK_S, None
            self.locks.append(letter)
            self.look_for_free()

    def advance(self, now: float) -> None:
        for taker in list(self.holds):
            if taker.until <= now:
                self.happenings.append((taker.id, "lost", taker.session))
                self.end(taker, now, failed=True)
        for letter in list(self.locks):
            if not self.keeps_sessions and letter.until <= now:
                self.give_back(letter, now, failed=True)
        for taker in list(self.waiting):
            if taker.patience is not None and taker.patience <= now:
                self.waiting.remove(taker)
                self.happenings.append((taker.id, "timed out"))
        dying = [m for m in self.letters if m.status == "ready" and m.expires_at is not None and m.expires_at <= now]
        for letter in sorted(dying, key=lambda letter: (letter.expires_at, letter.number)):
            self.expire(letter, now)
        self.deliver(now)

    def locked_until(self, letter: Letter) -> float | None:
        if letter.status != "locked":
            return None
        return next((taker.until for taker in self.holds if taker.session == letter.message.session_id), letter.until)

    def deadlines(self) -> Iterator[float]:
        yield from (taker.until for taker in self.holds)
        yield from (taker.patience for taker in self.waiting if taker.patience is not None)
        yield from (m.until for m in self.locks if not self.keeps_sessions)
        yield from (m.expires_at for m in self.letters if m.status == "ready" and m.expires_at is not None)

    def deferred(self, number: int) -> Letter | None:
        return next((m for m in self.letters if m.status == "deferred" and m.number == number), None)


class Model:
    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.boxes: dict[str, Box] = {}
        for queue in QUEUES:
            dead = self.boxes[f"{queue}/$DeadLetterQueue"] = Box(self.happenings)
            self.boxes[queue] = Box(
                self.happenings, dead, keeps_sessions=queue == "kept", dead_letters_on_expiry=queue == "plain"
            )
        self.scheduled: dict[str, list[Letter]] = {queue: [] for queue in QUEUES}
        self.numbers = dict.fromkeys(QUEUES, 0)
        self.seen: list[tuple[str, float, int]] = []

    def advance(self, now: float) -> None:
        for queue in QUEUES:
            self.boxes[f"{queue}/$DeadLetterQueue"].advance(now)
            self.boxes[queue].advance(now)
            due = [m for m in self.scheduled[queue] if (m.message.scheduled_for or 0) <= now]
            for letter in sorted(due, key=lambda letter: (letter.message.scheduled_for, letter.number)):
                self.scheduled[queue].remove(letter)
                self.enqueue(queue, letter.message, self.next_number(queue), letter.message.scheduled_for or 0, now)

    def next_number(self, queue: str) -> int:
        self.numbers[queue] += 1
        return self.numbers[queue]

    def send(self, queue: str, message: Message, now: float) -> int:
        if queue == "plain" and message.message_id is not None:
            for message_id, at, number in self.seen:
                if message_id == message.message_id and now < at + WINDOW_S:
                    return number
        number = self.next_number(queue)
        if queue == "plain" and message.message_id is not None:
            self.seen.append((message.message_id, now, number))
        if message.scheduled_for is not None and message.scheduled_for > now:
            self.scheduled[queue].append(Letter(number, message, None))
        else:
            self.enqueue(queue, message, number, now, now)
        return number

    def enqueue(self, queue: str, message: Message, number: int, enqueued_at: float, now: float) -> None:
        ttls = [ttl for ttl in (message.ttl_s, DEFAULT_TTL_S if queue == "plain" else None) if ttl is not None]
        self.boxes[queue].put(Letter(number, message, enqueued_at + min(ttls) if ttls else None), now)

    def deadlines(self) -> Iterator[float]:
        for box in self.boxes.values():
            yield from box.deadlines()
        for letters in self.scheduled.values():
            yield from (m.message.scheduled_for for m in letters if m.message.scheduled_for is not None)

    def listed(self, entity: str) -> list[Happening]:
        letters = [
            (
                m.number,
                MessageState.DEFERRED if m.deferred else MessageState.ACTIVE,
                m.failed,
                m.reason,
                m.token,
                self.boxes[entity].locked_until(m),
            )
            for m in self.boxes[entity].letters
        ]
        scheduled = [(m.number, MessageState.SCHEDULED, 0, None, None, None) for m in self.scheduled.get(entity, ())]
        return sorted([*letters, *scheduled], key=lambda listed: listed[0])
