"""A task that alone uses one sender: one aio sender with two sends at once duplicates messages and hangs."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, TypeAlias

from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from worker.core.failures import BusFailure, Misconfigured
from worker.core.reply import Undelivered
from worker.servicebus.connect import TRY_S, Bus
from worker.servicebus.failures import explain, is_refused_for_good
from worker.servicebus.links import Discards, open_link
from worker.servicebus.outgoing import to_message
from worker.servicebus.pauses import pause_s
from worker.servicebus.pile import Parcel, Pile

MOST_IN_BATCH: Final = 100
# What a send is waited for, since the peer may have fallen silent. Each further one is waited for longer, until one is
# quick again: it may be only slow, and would get everything twice.
FIRST_SEND_S: Final = 5.0
IDLE_S: Final = 480.0  # the broker detaches a link after ten idle minutes, and the send that finds out takes seconds

_Payload: TypeAlias = AmqpAnnotatedMessage | ServiceBusMessageBatch


class Writer:
    """`run` is a task of its own. It sends what it finds in the pile, which it may share with others."""

    def __init__(self, bus: Bus, queue: str, pile: Pile, *, patience_s: float) -> None:
        self._bus = bus
        self._queue = queue
        self._pile = pile
        self._patience_s = patience_s
        self._sender: ServiceBusSender | None = None
        self._stopping = False
        self._failures = 0
        self._waits_s = FIRST_SEND_S  # for the broker to accept a send
        self._discards = Discards()

    def stop(self) -> None:
        """Once what is in the pile has been sent, where it can be."""
        self._stopping = True
        self._pile.rouse_all()

    async def run(self) -> None:
        try:
            while not self._stopping:
                try:
                    await self._work()
                except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape
                    failure = explain(error, f"Sending to queue '{self._queue}'")
                    if self._is_out_of_patience(failure):
                        self._pile.refuse_all(failure)
                    await self._recover(failure)
        finally:
            self._drop_sender()
            await self._discards.done()

    async def _work(self) -> None:
        """Send what waits until a failure, or until there is reason to begin with a fresh sender."""
        if self._sender is None:
            self._sender = await self._open()
        while True:
            while parcels := self._pile.begin(self, _now(), most=MOST_IN_BATCH):
                await self._send(self._sender, parcels)
                self._failures, self._pile.misconfigured_at, self._pile.last_failure = 0, None, None
            if self._stopping:
                return
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._pile.wait()
            except TimeoutError:
                self._drop_sender()
                return

    async def _open(self) -> ServiceBusSender:
        return await open_link(self._bus.sender(self._queue), f"Opening a sender on queue '{self._queue}'")

    async def _send(self, sender: ServiceBusSender, parcels: Sequence[Parcel]) -> None:
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
            self._pile.put_back(left)
            raise
        finally:
            self._pile.end(self)

    async def _transmit(self, sender: ServiceBusSender, payload: _Payload, parcels: Sequence[Parcel]) -> bool:
        """False: several together were refused for good. One alone that is refused for good has ended with that."""
        began = _now()
        try:
            with self._bus.limits.until(began + self._waits_s):
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
        if _now() - began < FIRST_SEND_S / 2:
            self._waits_s = FIRST_SEND_S
        self._pile.batches += 1
        self._pile.sent += len(parcels)
        for parcel in parcels:
            parcel.end(None)
        return True

    async def _recover(self, failure: BusFailure) -> None:
        """After any error the sender is made anew: the first time at once, then after a growing, jittered pause."""
        self._pile.last_failure = failure
        self._drop_sender()
        self._pile.forget_ended()
        self._failures += 1
        if self._failures > 1:  # the first time the fresh sender does better than one that is as old as the last
            self._pile.rouse_another()
        await asyncio.sleep(pause_s(self._failures, draw=random.random()))  # noqa: S311 - jitter, not a secret

    def _is_out_of_patience(self, failure: BusFailure) -> bool:
        """A role that was just granted, or a queue that is just being made, takes a while to be seen."""
        if not isinstance(failure, Misconfigured):
            self._pile.misconfigured_at = None
            return False
        now = _now()
        if self._pile.misconfigured_at is None:
            self._pile.misconfigured_at = now
        return now - self._pile.misconfigured_at >= self._patience_s

    def _drop_sender(self) -> None:
        self._discards.add(self._sender)
        self._sender = None


async def _fill(sender: ServiceBusSender, parcels: Sequence[Parcel]) -> tuple[_Payload, int]:
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


def _now() -> float:
    return asyncio.get_running_loop().time()
