"""Answers on their way to callers, who may lose them on the last metre and ask again.

So each stays in the queue, where a restart finds it, until some time after it was told; the longer where it has a key.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from worker.core.delivery import Delivery
from worker.core.door.ids import RequestId
from worker.core.door.memory import Entry, Memory, MemorySpec, Unknown
from worker.core.typed_reply import read_reply
from worker.servicebus.reply_session import ReplySession

LINGERS_S: Final = 30.0  # told, in the queue; with a key for as long as it is remembered
MOST_LINGERING: Final = 2_000  # they come before what is new after a restart


class Shelf:
    """Fits `listener.Answers`. `outcomes` counts the answers that came, `foreign` those to nothing a door asked."""

    def __init__(self, session: ReplySession, spec: MemorySpec) -> None:
        self.memory = Memory(spec)
        self.outcomes: Counter[str] = Counter()
        self.foreign = 0
        self._is_closed = False
        self._session = session
        self._remember_s = spec.remember_s
        self._kept: dict[str, Delivery] = {}  # in the queue, by request id
        self._lingering: OrderedDict[str, float] = OrderedDict()  # told; until when they stay there
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def answer(self, delivery: Delivery) -> bool:
        reply = read_reply(delivery, request_id=delivery.correlation_id or "")
        if RequestId.read(reply.request_id) is None:
            self.foreign += 1
            return True
        entry = self.memory.answered(reply, now=time.time())
        if entry is None or (entry.is_told and reply.request_id not in self._lingering):
            return True
        if reply.request_id not in self._kept:
            self.outcomes[reply.outcome.value] += 1
        self._keep(reply.request_id, delivery)
        self._let_go(self.memory.trim(waited_for=self._waiting))
        for request_id in {reply.request_id, *self.memory.under(entry.key_id)}:
            self._rouse(request_id)
        return False

    def refused(self, detail: str) -> None:
        """Whoever waits goes on waiting: an operator may mend it in time."""

    async def wait(self, request_id: RequestId, *, until: float) -> Entry | Unknown:
        """What is known once there is an answer, or when `until` on the loop's clock is over."""
        while True:
            found = self.memory.look_up(request_id, now=time.time())
            is_pending = found is Unknown.NEVER or (isinstance(found, Entry) and found.answer is None)
            if self._is_closed or not is_pending or not await self._is_roused(str(request_id), until):
                return found

    async def _is_roused(self, request_id: str, until: float) -> bool:
        """False when the time is over."""
        roused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request_id, set()).add(roused)
        try:
            async with asyncio.timeout_at(until):
                await roused
        except TimeoutError:
            return roused.done() and not roused.cancelled()
        finally:
            waiting = self._waiting[request_id]
            waiting.discard(roused)
            if not waiting:
                del self._waiting[request_id]
        return True

    def told(self, entry: Entry) -> None:
        """The answer has been written to a caller."""
        if entry.is_told:
            return
        entry.is_told = True
        keyed_s = 0.0 if entry.key_id is None else self._remember_s
        self._lingering[entry.request_id] = time.time() + max(LINGERS_S, keyed_s)
        if len(self._lingering) > MOST_LINGERING:
            self._be_done(next(iter(self._lingering)))

    def forget(self) -> None:
        now = time.time()
        self._let_go([*self.memory.forget(now), *self.memory.trim(waited_for=self._waiting)])
        for request_id in [each for each, until in self._lingering.items() if until < now]:
            self._be_done(request_id)

    def close(self) -> None:
        """Who waits, and who comes, is told at once where to ask on."""
        self._is_closed = True
        for request_id in list(self._waiting):
            self._rouse(request_id)

    def _keep(self, request_id: str, delivery: Delivery) -> None:
        """The latest: of what came twice, or before the session was lost, the other need not stay."""
        before = self._kept.get(request_id)
        if before is not None:
            self._session.done(before)
        self._kept[request_id] = delivery

    def _let_go(self, forgotten: Iterable[Entry]) -> None:
        for entry in forgotten:
            self._be_done(entry.request_id)
            self._rouse(entry.request_id)

    def _be_done(self, request_id: str) -> None:
        self._lingering.pop(request_id, None)
        delivery = self._kept.pop(request_id, None)
        if delivery is not None:
            self._session.done(delivery)

    def _rouse(self, request_id: str) -> None:
        for roused in self._waiting.get(request_id, ()):
            if not roused.done():
                roused.set_result(None)
