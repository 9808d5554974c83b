"""Answers on their way to callers: one that nobody fetched yet stays in the queue, too, where a restart finds it."""

import asyncio
import time
from collections import Counter

from worker.core.delivery import Delivery
from worker.core.door.ids import RequestId
from worker.core.door.memory import Entry, Memory, MemorySpec, Unknown
from worker.core.typed_reply import read_reply
from worker.servicebus.reply_session import ReplySession


class Shelf:
    """Fits `listener.Answers`. `outcomes` counts the answers that came, `foreign` those to nothing a door asked."""

    def __init__(self, session: ReplySession, spec: MemorySpec) -> None:
        self.memory = Memory(spec)
        self.outcomes: Counter[str] = Counter()
        self.foreign = 0
        self._is_closed = False
        self._session = session
        self._kept: dict[str, Delivery] = {}  # in the queue, by request id
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        return sum(len(each) for each in self._waiting.values())

    def answer(self, delivery: Delivery) -> bool:
        reply = read_reply(delivery, request_id=delivery.correlation_id or "")
        if RequestId.read(reply.request_id) is None:
            self.foreign += 1
            return True
        entry = self.memory.answered(reply, now=time.time())
        if entry is None or entry.is_told:
            return True
        if reply.request_id not in self._kept:
            self.outcomes[reply.outcome.value] += 1
        self._kept[reply.request_id] = delivery
        self._rouse(reply.request_id)
        return False

    def refused(self, detail: str) -> None:
        """Whoever waits goes on waiting: an operator may mend it in time."""

    async def wait(self, request_id: str, *, issued: float, until: float) -> Entry | Unknown:
        """What is known once there is an answer, or when `until` on the loop's clock is over."""
        found = self.memory.look_up(request_id, issued=issued, now=time.time())
        if self._is_closed or found is Unknown.FORGOTTEN or (isinstance(found, Entry) and found.answer is not None):
            return found
        roused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request_id, set()).add(roused)
        try:
            async with asyncio.timeout_at(until):
                await roused
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting[request_id]
            waiting.discard(roused)
            if not waiting:
                del self._waiting[request_id]
        return self.memory.look_up(request_id, issued=issued, now=time.time())

    def told(self, entry: Entry) -> None:
        """The answer has been written to a caller; for a while it may be asked for again."""
        entry.is_told = True
        self._be_done(entry.request_id)

    def forget(self) -> None:
        for entry in self.memory.forget(time.time()):
            self._be_done(entry.request_id)
            self._rouse(entry.request_id)

    def close(self) -> None:
        """Who waits, and who comes, is told at once where to ask on."""
        self._is_closed = True
        for request_id in list(self._waiting):
            self._rouse(request_id)

    def _be_done(self, request_id: str) -> None:
        delivery = self._kept.pop(request_id, None)
        if delivery is not None:
            self._session.done(delivery)

    def _rouse(self, request_id: str) -> None:
        for roused in self._waiting.get(request_id, ()):
            if not roused.done():
                roused.set_result(None)
