"""A lane over a request queue that requires sessions: one session after the other, each in its own order."""

import asyncio
from collections.abc import Sequence
from typing import Final

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import SessionLockLostError

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable
from worker.core.settlement import LeaveLocked, Settled, Settlement
from worker.servicebus.connect import SETTLE_S, Bus, Source
from worker.servicebus.convert import Instant, strip_unsettleable, to_delivery
from worker.servicebus.failures import NoSession, explain
from worker.servicebus.lanes import RENEW_S, STALLED_S
from worker.servicebus.links import Discards, open_link
from worker.servicebus.settling import settle
from worker.servicebus.shielding import to_the_end

SHORTEST_ACCEPT_S: Final = 1.0


class SessionLane:
    """Fits `bridge.ports.Lane`. Order is kept only if each delivery is settled before the next `receive`.

    The lock is the session's, and it goes with the link: what came through a lost link can't be settled any more.
    A session that has nothing for one `receive`, with nothing of it unsettled, is left to whoever is next.
    """

    def __init__(self, bus: Bus, source: Source) -> None:
        self._bus = bus
        self._source = source
        self._receiver: ServiceBusReceiver | None = None
        self._is_open = False
        self._credit = 0
        self._locked_until = 0.0
        self._held: dict[str, ServiceBusReceivedMessage] = {}
        self._discards = Discards()

    @property
    def credit(self) -> int:
        return self._credit

    async def open(self) -> None:
        """Connects nothing yet: a link exists only together with a session."""
        self._leave()
        self._is_open = True

    async def receive(self, *, most: int, wait_s: float) -> list[Delivery]:
        if not self._is_open:
            raise BusUnreachable(f"The link to {self._source} was lost.")
        self._is_open = False  # until it is back: a receive that was cut leaves messages locked and unseen
        self._credit = most
        receiver = self._receiver
        try:
            async with asyncio.timeout(max(wait_s, SHORTEST_ACCEPT_S) * 2 + STALLED_S):
                receiver = receiver or await self._accept(wait_s)
                messages = [] if receiver is None else await receiver.receive_messages(most, max_wait_time=wait_s)
        except Exception as error:
            raise explain(error, f"Receiving from {self._source}") from error
        self._is_open = True
        self._credit = 0 if receiver is None else most - len(messages)
        if receiver is not None and not messages and not self._held:
            self._leave()
        return self._hold(messages)

    async def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        return await to_the_end(self._settle(batch))

    async def renew_lock(self, delivery: Delivery) -> float | None:
        receiver = self._receiver
        if receiver is None or delivery.lock_token not in self._held:
            return None
        try:
            until = await receiver.session.renew_lock(timeout=RENEW_S)
        except SessionLockLostError:
            self._leave()
            return None
        except Exception as error:
            self._is_open = False
            raise explain(error, f"Renewing the session lock of {self._source}") from error
        self._locked_until = Instant.now().on_loop(until.timestamp())
        return self._locked_until

    async def close(self) -> None:
        self._is_open = False
        self._leave()
        await self._discards.done()

    async def _accept(self, wait_s: float) -> ServiceBusReceiver | None:
        accept_s = max(wait_s, SHORTEST_ACCEPT_S)
        receiver = self._bus.receiver(self._source, session_id=NEXT_AVAILABLE_SESSION, accept_s=accept_s)
        try:
            self._receiver = await open_link(receiver, f"Accepting a session of {self._source}")
        except NoSession:
            return None
        return self._receiver

    def _hold(self, messages: list[ServiceBusReceivedMessage]) -> list[Delivery]:
        if self._receiver is None or not messages:
            return []
        now = Instant.now()
        until = self._receiver.session.locked_until_utc
        deliveries = [to_delivery(message, now, session_locked_until=until) for message in messages]
        for message, delivery in zip(messages, deliveries, strict=True):
            strip_unsettleable(message)
            self._held[delivery.lock_token] = message
            self._locked_until = delivery.locked_until
        return deliveries

    async def _settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        return [await self._settle_one(delivery, settlement) for delivery, settlement in batch]

    async def _settle_one(self, delivery: Delivery, settlement: Settlement) -> Settled:
        message = self._held.pop(delivery.lock_token, None)
        if isinstance(settlement, LeaveLocked):
            return Settled.DONE
        left_s = self._locked_until - asyncio.get_running_loop().time()
        if message is None or self._receiver is None or left_s <= 0:
            return Settled.LOCK_LOST
        result = await settle(self._receiver, message, settlement, within_s=min(SETTLE_S, left_s))
        if result is Settled.FAILED:  # in doubt, and with the link goes the session: no second chance
            self._is_open = False
            self._leave()
            return Settled.LOCK_LOST
        return result

    def _leave(self) -> None:
        self._discards.add(self._receiver)
        self._receiver, self._credit = None, 0
        self._held.clear()
