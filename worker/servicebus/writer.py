"""A task that alone uses one sender.

One aio sender with two sends at once duplicates messages and hangs, so nothing else ever touches it. What waits for the
same session goes out as one batch: the busier, the larger, and nobody waits for a batch to fill.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.reply import Undelivered
from worker.servicebus.connect import TRY_S, Bus
from worker.servicebus.failures import explain, is_refused_for_good
from worker.servicebus.links import Discards, open_link
from worker.servicebus.outgoing import Outgoing, to_message
from worker.servicebus.pauses import pause_s

MOST_IN_BATCH: Final = 100
# What a send is waited for, since the peer may have fallen silent. Each further one is waited for longer, until one is
# quick again: it may be only slow, and would get everything twice.
FIRST_SEND_S: Final = 5.0
IDLE_S: Final = 480.0  # the broker detaches a link after ten idle minutes, and the send that finds out takes seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Parcel:
    """Something to send. `ended` holds None once the broker has accepted it."""

    outgoing: Outgoing
    ended: asyncio.Future[Undelivered | None]

    def end(self, undelivered: Undelivered | None) -> None:
        if not self.ended.done():  # the sender may have given up waiting
            self.ended.set_result(undelivered)


class Writer:
    """`run` is a task of its own; `send` may be called by any number of others."""

    def __init__(self, bus: Bus, queue: str, *, patience_s: float) -> None:
        self._bus = bus
        self._queue = queue
        self._patience_s = patience_s
        self._sender: ServiceBusSender | None = None
        self._waiting: OrderedDict[str | None, deque[_Parcel]] = OrderedDict()  # by session, oldest first
        self._wake = asyncio.Event()
        self._stopping = False
        self._failures = 0
        self._waits_s = FIRST_SEND_S  # for the broker to accept a send
        self._last_failure: BusFailure | None = None
        self._misconfigured_at: float | None = None
        self._discards = Discards()

    async def send(self, outgoing: Outgoing, *, until: float) -> Undelivered | None:
        if self._stopping:
            return Undelivered(detail="the sender was stopped")
        parcel = _Parcel(outgoing, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(outgoing.session_id, deque()).append(parcel)
        self._wake.set()
        try:
            async with asyncio.timeout_at(until):
                return await parcel.ended
        except TimeoutError:
            why = self._last_failure or "the broker did not accept it in time"
            return Undelivered(detail=f"queue '{self._queue}': {why}", is_late=True)

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        try:
            while not self._stopping:
                try:
                    await self._work()
                except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape
                    failure = explain(error, f"Sending to queue '{self._queue}'")
                    if self._is_out_of_patience(failure):
                        self._refuse_all(failure)
                    await self._recover(failure)
        finally:
            self._refuse_all(BusUnreachable("the sender was stopped"))
            self._drop_sender()
            await self._discards.done()

    async def _work(self) -> None:
        """Send what waits until a failure, or until there is reason to begin with a fresh sender."""
        if self._sender is None:
            self._sender = await self._open()
        while not self._stopping:
            self._wake.clear()
            while parcels := self._take():
                await self._send(self._sender, parcels)
                self._failures, self._last_failure, self._misconfigured_at = 0, None, None
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                self._drop_sender()
                return

    async def _open(self) -> ServiceBusSender:
        return await open_link(self._bus.sender(self._queue), f"Opening a sender on queue '{self._queue}'")

    def _take(self) -> list[_Parcel]:
        """All that waits for the session whose turn it is."""
        while self._waiting:
            session_id, queued = self._waiting.popitem(last=False)
            parcels = [queued.popleft() for _ in range(min(len(queued), MOST_IN_BATCH))]
            if queued:
                self._waiting[session_id] = queued
            if parcels := [parcel for parcel in parcels if not parcel.ended.done()]:
                return parcels
        return []

    async def _send(self, sender: ServiceBusSender, parcels: Sequence[_Parcel]) -> None:
        """Ends each parcel; those that failed in passing go back to the front, and the failure is raised."""
        left = list(parcels)
        try:
            while left:
                payload, count = await _fill(sender, left)
                if await self._transmit(sender, payload, left[:count]):
                    del left[:count]
                else:  # one of them is at fault: find it by sending each alone
                    for parcel in left[:count]:
                        await self._transmit(sender, to_message(parcel.outgoing), [parcel])
                    del left[:count]
        except BaseException:
            self._put_back(left)
            raise

    async def _transmit(
        self, sender: ServiceBusSender, payload: ServiceBusMessage | ServiceBusMessageBatch, parcels: Sequence[_Parcel]
    ) -> bool:
        """False: several together were refused for good. One alone that is refused for good has ended with that."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._waits_s):
                await sender.send_messages(payload)
        except Exception as error:
            if isinstance(error, TimeoutError):
                self._waits_s = min(TRY_S, 2 * self._waits_s)
            is_too_large = isinstance(error, MessageSizeExceededError)
            failure = explain(error, f"Sending to queue '{self._queue}'")
            if not is_too_large and not is_refused_for_good(error):
                raise failure from error
            if len(parcels) > 1:
                return False
            parcels[0].end(Undelivered(detail=str(failure), is_too_large=is_too_large))
            return True
        if asyncio.get_running_loop().time() - began < FIRST_SEND_S / 2:
            self._waits_s = FIRST_SEND_S
        for parcel in parcels:
            parcel.end(None)
        return True

    def _put_back(self, parcels: Sequence[_Parcel]) -> None:
        pending = [parcel for parcel in parcels if not parcel.ended.done()]
        if pending:
            session_id = pending[0].outgoing.session_id
            self._waiting.setdefault(session_id, deque()).extendleft(reversed(pending))
            self._waiting.move_to_end(session_id, last=False)

    async def _recover(self, failure: BusFailure) -> None:
        """After any error the sender is made anew: the first time at once, then after a growing, jittered pause."""
        self._last_failure = failure
        self._drop_sender()
        self._forget_ended()
        self._failures += 1
        await asyncio.sleep(pause_s(self._failures, draw=random.random()))  # noqa: S311 - jitter, not a secret

    def _is_out_of_patience(self, failure: BusFailure) -> bool:
        """A role that was just granted, or a queue that is just being made, takes a while to be seen."""
        if not isinstance(failure, Misconfigured):
            self._misconfigured_at = None
            return False
        now = asyncio.get_running_loop().time()
        if self._misconfigured_at is None:
            self._misconfigured_at = now
        return now - self._misconfigured_at >= self._patience_s

    def _forget_ended(self) -> None:
        """Whose caller gave up; in a long outage they would pile up."""
        for session_id, queued in list(self._waiting.items()):
            self._waiting[session_id] = pending = deque(parcel for parcel in queued if not parcel.ended.done())
            if not pending:
                del self._waiting[session_id]

    def _refuse_all(self, failure: BusFailure) -> None:
        for queued in self._waiting.values():
            for parcel in queued:
                parcel.end(Undelivered(detail=str(failure)))
        self._waiting.clear()

    def _drop_sender(self) -> None:
        self._discards.add(self._sender)
        self._sender = None


async def _fill(
    sender: ServiceBusSender, parcels: Sequence[_Parcel]
) -> tuple[ServiceBusMessage | ServiceBusMessageBatch, int]:
    """The first message alone, or as many as one batch holds, and how many they are."""
    if len(parcels) == 1:
        return to_message(parcels[0].outgoing), 1
    batch = await sender.create_message_batch()
    for parcel in parcels:
        try:
            batch.add_message(to_message(parcel.outgoing))
        except MessageSizeExceededError:
            break
    if len(batch) < 2:  # the limit of a batch may be below that of one message
        return to_message(parcels[0].outgoing), 1
    return batch, len(batch)
