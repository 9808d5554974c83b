"""The caller's end of a reply queue: one session, received from by one task."""

import asyncio
import contextlib
from collections import deque
from datetime import datetime
from typing import Final

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable
from worker.core.settlement import Complete, Settled
from worker.servicebus.connect import SETTLE_S, Bus, QueueSource
from worker.servicebus.convert import Instant, strip_unsettleable, to_delivery
from worker.servicebus.failures import explain
from worker.servicebus.lanes import STALLED_S
from worker.servicebus.links import Discards, open_link
from worker.servicebus.receiving import ANSWER_S, SILENT_S, receive_one
from worker.servicebus.settling import settle
from worker.servicebus.shielding import to_the_end

WINDOW: Final = 50  # answers wait here, not at the broker; the session's lock covers them
QUIET_S: Final = 0.05  # without an answer for so long, an earlier one is completed
WAIT_S: Final = 1.0
MOST_UNCOMPLETED: Final = 8  # while answers keep coming


class ReplySession:
    """After a `BusFailure` it must be opened again; the broker may first wait out the lock of the lost link.

    Answers are handed out at once and stay in the queue until somebody is done with them: those that are not by the
    end of the session come again in the next of its name. They are completed later, one between two receives: an
    answer never waits for more than one completion of another.
    """

    def __init__(self, bus: Bus, queue: str, session_id: str) -> None:
        self._bus = bus
        self._source = QueueSource(queue=queue)
        self._session_id = session_id
        self._receiver: ServiceBusReceiver | None = None
        self._held: dict[str, ServiceBusReceivedMessage] = {}  # by lock token
        self._to_complete: deque[ServiceBusReceivedMessage] = deque()
        self._is_quiet = False
        self._renew_at = 0.0
        self._discards = Discards()

    async def open(self) -> None:
        self._drop()
        receiver = self._bus.receiver(self._source, session_id=self._session_id, window=WINDOW)
        self._receiver = await open_link(receiver, f"Opening a session of {self._source}")
        self._plan_renewal(receiver)

    async def receive(self) -> list[Delivery]:
        """The next answer, or nothing after a while. Not to be cancelled, except to close the session afterwards."""
        receiver = self._receiver
        if receiver is None:
            raise BusUnreachable(f"The session of {self._source} is not open.")
        try:
            async with asyncio.timeout(WAIT_S + SETTLE_S + STALLED_S):
                return await self._receive(receiver)
        except Exception as error:
            raise explain(error, f"Receiving from a session of {self._source}") from error

    def done(self, delivery: Delivery) -> None:
        """It need not come again. Nothing to do for one that came before the session was last opened."""
        message = self._held.pop(delivery.lock_token, None)
        if message is not None:
            self._to_complete.append(message)

    async def close(self) -> None:
        if self._receiver is not None:
            await to_the_end(self._complete_all(self._receiver))
        self._drop()
        await self._discards.done()

    def _drop(self) -> None:
        self._discards.add(self._receiver)
        self._receiver = None
        self._held.clear()
        self._to_complete.clear()

    async def _receive(self, receiver: ServiceBusReceiver) -> list[Delivery]:
        if self._to_complete and (self._is_quiet or len(self._to_complete) >= MOST_UNCOMPLETED):
            await self._complete_oldest(receiver)
        to_renewal_s = self._renew_at - asyncio.get_running_loop().time()
        if to_renewal_s <= 0:
            await receiver.session.renew_lock(timeout=ANSWER_S)
            self._plan_renewal(receiver)
        wait_s = QUIET_S if self._to_complete else min(WAIT_S, max(QUIET_S, to_renewal_s))
        messages = await receive_one(receiver, wait_s=wait_s)
        self._is_quiet = not messages
        now = Instant.now()
        answers = [to_delivery(message, now, session_locked_until=_lock_end(receiver)) for message in messages]
        for message, answer in zip(messages, answers, strict=True):
            strip_unsettleable(message)
            self._held[answer.lock_token] = message
        return answers

    async def _complete_oldest(self, receiver: ServiceBusReceiver) -> None:
        """Only one at a time: several at once on a lost connection make the SDK open new ones and forget them."""
        limit = self._bus.limits.until(asyncio.get_running_loop().time() + SETTLE_S)
        if await settle(receiver, self._to_complete.popleft(), Complete(), limit) is not Settled.DONE:
            raise BusUnreachable(f"The session of {self._source} was lost.")

    async def _complete_all(self, receiver: ServiceBusReceiver) -> None:
        with contextlib.suppress(BusUnreachable):
            while self._to_complete:
                await self._complete_oldest(receiver)

    def _plan_renewal(self, receiver: ServiceBusReceiver) -> None:
        """Sooner than the lock asks for: it is also how a silent peer is found out."""
        now = Instant.now()
        self._renew_at = now.loop_s + min(SILENT_S, (_lock_end(receiver).timestamp() - now.wall_s) / 2)


def _lock_end(receiver: ServiceBusReceiver) -> datetime:
    until = receiver.session.locked_until_utc
    if until is None:
        raise BusUnreachable("The broker did not say how long the session is locked.")
    return until
