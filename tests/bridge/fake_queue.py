"""A request queue in memory, with locks, delivery counts and credit, and lanes that receive from it."""

import asyncio
import contextvars
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Final

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, BusUnreachable
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement

ROUND_TRIP_S = 0.002
BROKER: Final = contextvars.Context()  # what the broker does, no worker owns


def now() -> float:
    return asyncio.get_running_loop().time()


class Counted(Enum):
    """Why a delivery ended without a settlement that ends its message."""

    ABANDONED = "is abandoned"
    EXPIRED = "expires"
    TAKEN = "is lost"


@dataclass(slots=True, eq=False)
class Message:
    delivery: Delivery  # as it would be delivered next
    lock_token: str | None = None
    locked_until: float = 0.0

    def is_locked(self) -> bool:
        return self.lock_token is not None and self.locked_until > now()


@dataclass(kw_only=True)
class FakeQueue:
    """`ended` tells in order how each message left; what was delivered too often leaves as None.

    `on_count` hears of each lock that ended without a word, before the delivery count grows: the token, and why.
    """

    lock_s: float = 60.0
    is_renewable: bool = True
    max_delivery_count: int = 10
    messages: list[Message] = field(default_factory=list)
    ended: list[tuple[Delivery, Settlement | None]] = field(default_factory=list)
    lanes: list["FakeLink"] = field(default_factory=list)
    on_end: Callable[[Delivery, Settlement | None], None] = lambda _delivery, _settlement: None
    on_count: Callable[[str, Message, Counted], None] = lambda _token, _message, _why: None
    _locked: dict[str, Message] = field(default_factory=dict)  # by token
    _tokens: Iterator[int] = field(default_factory=count)

    def put(self, *deliveries: Delivery) -> None:
        self.messages.extend(Message(delivery) for delivery in deliveries)
        self.push()

    def push(self) -> None:
        """To whoever has credit."""
        if len(self._locked) == len(self.messages):
            return
        for lane in self.lanes:
            while lane.credit > len(lane.buffer) and (waiting := self._next()) is not None:
                token, until = f"token-{next(self._tokens)}", now() + self.lock_s
                waiting.lock_token, waiting.locked_until = token, until
                self._locked[token] = waiting
                lane.deliver(replace(waiting.delivery, lock_token=token, locked_until=until))
                self._expires(token, until)

    def settle(self, lock_token: str, settlement: Settlement) -> Settled:
        message = self.locked(lock_token)
        if message is None:
            return Settled.LOCK_LOST
        match settlement:
            case Complete() | DeadLetter():
                self._end(message, settlement)
            case Abandon():
                self._unlock(message, Counted.ABANDONED)
            case LeaveLocked():
                pass
        self.push()
        return Settled.DONE

    def renew(self, lock_token: str) -> float | None:
        message = self.locked(lock_token)
        if message is None or not self.is_renewable:
            return None
        message.locked_until = now() + self.lock_s
        self._expires(lock_token, message.locked_until)
        return message.locked_until

    def release(self, lock_token: str) -> None:
        message = self.locked(lock_token)
        if message is not None:
            self._unlock(message, None)
            self.push()

    def lose_lock(self, sequence_number: int) -> None:
        for message in self.messages:
            if message.delivery.sequence_number == sequence_number and message.is_locked():
                self._unlock(message, Counted.TAKEN)
                break
        self.push()

    def locked(self, lock_token: str) -> Message | None:
        message = self._locked.get(lock_token)
        return message if message is not None and message.is_locked() else None

    def count_locked(self) -> int:
        return len(self._locked)

    def _next(self) -> Message | None:
        return next((message for message in self.messages if message.lock_token is None), None)

    def _expires(self, lock_token: str, until: float) -> None:
        asyncio.get_running_loop().call_at(until, self._expire, lock_token, context=BROKER)

    def _expire(self, lock_token: str) -> None:
        message = self._locked.get(lock_token)
        if message is not None and not message.is_locked():
            self._unlock(message, Counted.EXPIRED)
            self.push()

    def _unlock(self, message: Message, why: Counted | None) -> None:
        token = message.lock_token
        assert token is not None
        if why is not None:
            self.on_count(token, message, why)
        del self._locked[token]
        message.lock_token = None
        if why is not None:
            message.delivery = replace(message.delivery, delivery_count=message.delivery.delivery_count + 1)
            if message.delivery.delivery_count >= self.max_delivery_count:
                self._end(message, None)

    def _end(self, message: Message, settlement: Settlement | None) -> None:
        if message.lock_token is not None:
            del self._locked[message.lock_token]
        self.messages.remove(message)
        self.ended.append((message.delivery, settlement))
        self.on_end(message.delivery, settlement)


class FakeLink:
    """What lanes have in common: a link that can be lost, credit, and one user at a time.

    While `outage` is set, the link is lost and can't be opened. A settlement during an outage is not confirmed;
    with `applies_unconfirmed` it was carried out all the same.
    """

    def __init__(self, queue: FakeQueue) -> None:
        self.queue = queue
        self.outage: BusFailure | None = None
        self.applies_unconfirmed = False
        self.opening_s = 0.05
        self.credit = 0
        self.buffer: list[Delivery] = []
        self.is_open = False
        self.handed_out: list[Delivery] = []
        self.calls: list[str] = []
        self.confirms: Callable[[Settlement], bool] = lambda _settlement: True
        self._stirred: asyncio.Future[None] | None = None  # what is waited for
        self._in_use_by: str | None = None
        self._use = _Use(self)
        queue.lanes.append(self)

    def deliver(self, delivery: Delivery) -> None:
        self.buffer.append(delivery)
        self.stir()

    def fail(self, outage: BusFailure, *, is_noticed: bool = False) -> None:
        """`is_noticed`: the broker's end is lost, too."""
        raise NotImplementedError

    def stir(self) -> None:
        """End the wait under way."""
        if self._stirred is not None and not self._stirred.done():
            self._stirred.set_result(None)

    def recover(self) -> None:
        self.outage = None

    def count(self, call: str) -> int:
        return self.calls.count(call)

    async def _wait(self, longest_s: float) -> None:
        """Until something was delivered, or the link is lost."""
        loop = asyncio.get_running_loop()
        self._stirred = loop.create_future()
        timer = loop.call_later(longest_s, self.stir)
        try:
            await self._stirred
        finally:
            timer.cancel()

    def _settle_one(self, delivery: Delivery, settlement: Settlement) -> Settled:
        if isinstance(settlement, LeaveLocked):
            return Settled.DONE
        is_confirmed = self.is_open and self.confirms(settlement)
        if is_confirmed or self.applies_unconfirmed:
            settled = self._apply(delivery, settlement)
            return settled if is_confirmed else Settled.FAILED
        return Settled.FAILED

    def _apply(self, delivery: Delivery, settlement: Settlement) -> Settled:
        return self.queue.settle(delivery.lock_token, settlement)

    def _require_link(self) -> None:
        if not self.is_open:
            raise self.outage or BusUnreachable("The link was lost.")

    def _alone(self, call: str) -> "_Use":
        assert self._in_use_by is None, f"{call} while {self._in_use_by} is under way"
        self._in_use_by = call
        self.calls.append(call)
        return self._use


class FakeLane(FakeLink):
    """Fits `bridge.ports.Lane`, and checks that it is used like one: by one task, within its credit."""

    def __init__(self, queue: FakeQueue, *, window: int = 1) -> None:
        super().__init__(queue)
        self.window = window
        self.settling_s = ROUND_TRIP_S

    def fail(self, outage: BusFailure, *, is_noticed: bool = False) -> None:
        """Locks live on in either case."""
        self.outage = outage
        self._disconnect()

    async def open(self) -> None:
        with self._alone("open"):
            self._disconnect()
            await asyncio.sleep(self.opening_s)
            if self.outage is not None:
                raise self.outage
            self.is_open = True

    async def receive(self, *, wait_s: float) -> list[Delivery]:
        with self._alone("receive"):
            self._require_link()
            if self.credit == 0:
                self.credit = self.window
            self.queue.push()
            if not self.buffer:
                await self._wait(wait_s)
            if self.buffer:
                await asyncio.sleep(ROUND_TRIP_S)
            self._require_link()
            taken, self.buffer = self.buffer[:1], self.buffer[1:]
            self.credit -= len(taken)
            self.handed_out.extend(taken)
            return taken

    async def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        assert batch
        with self._alone("settle"):
            await asyncio.sleep(self.settling_s)
            return [self._settle_one(delivery, settlement) for delivery, settlement in batch]

    async def renew_lock(self, delivery: Delivery) -> float | None:
        with self._alone("renew_lock"):
            await asyncio.sleep(ROUND_TRIP_S)
            self._require_link()
            return self.queue.renew(delivery.lock_token)

    async def close(self) -> None:
        with self._alone("close"):
            self._disconnect()
            await asyncio.sleep(ROUND_TRIP_S)

    def _disconnect(self) -> None:
        self.is_open = False
        self.credit = 0
        buffered, self.buffer = self.buffer, []
        for delivery in buffered:
            self.queue.release(delivery.lock_token)
        self.stir()


class _Use:
    """A lane's, by one task at a time."""

    def __init__(self, lane: FakeLink) -> None:
        self._lane = lane

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._lane._in_use_by = None
