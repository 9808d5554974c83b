"""A lane: one receiver of the request queue, which never receives and settles at once.

The SDK's reads and writes share one lock per connection: settling while receiving takes 190 ms, not 1.

The broker is asked for a window of messages at once, because to ask for each alone is a tenth of all that a request
costs. The SDK asks when the last of a window has come, and only within a receive (tests/servicebus/test_windows.py): so
what may still come is known. What comes between two receives waits in the SDK's buffer; where the window is one, the
SDK hands it back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError

from worker.core.appetite import Appetite
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable
from worker.core.settlement import LeaveLocked, Settled, Settlement
from worker.servicebus.connect import SETTLE_S, Bus, Source
from worker.servicebus.convert import LONGEST_LOCK_S, Instant, stamps_of, strip_unsettleable, to_delivery
from worker.servicebus.failures import Unreadable, explain
from worker.servicebus.links import Discards, open_link
from worker.servicebus.receiving import SILENT_S, prove_alive, receive_some
from worker.servicebus.settling import settle
from worker.servicebus.shielding import to_the_end
from worker.servicebus.skew import Skew

_log = structlog.stdlib.get_logger(__name__)

STALLED_S: Final = 30.0  # beyond its wait, a receive is stuck: only then is it cancelled, and its link given up
RENEW_S: Final = 5.0
FOR_ALL_S: Final = 0.01  # that the first of several messages may wait for the last, and the SDK's poll, if none comes


@dataclass(slots=True)
class _Held:
    """A delivery that isn't settled yet."""

    message: ServiceBusReceivedMessage
    locked_until: float


class ReceiverLane:
    """Fits `bridge.ports.Lane`. `lock_s`: how long the source's locks last."""

    def __init__(self, bus: Bus, source: Source, *, window: int = 1, lock_s: float = LONGEST_LOCK_S) -> None:
        self._bus = bus
        self._source = source
        self._window = window
        self._lock_s = lock_s
        self._receiver: ServiceBusReceiver | None = None
        self._is_sound = False
        self._appetite = Appetite(window)
        self._credit = 0
        self._heard_at = 0.0
        self._held: dict[str, _Held] = {}
        self._discards = Discards()
        self._skew = Skew(lock_s)
        self._is_skew_said = False

    @property
    def window(self) -> int:
        return self._window

    @property
    def credit(self) -> int:
        return self._credit

    async def open(self) -> None:
        self._drop()
        receiver = self._bus.receiver(self._source, window=self._window)
        self._receiver = await open_link(receiver, f"Opening {self._source}")
        self._is_sound = True
        self._heard_at = asyncio.get_running_loop().time()
        self._forget_expired()

    async def receive(self, *, wait_s: float) -> list[Delivery]:
        receiver = self._sound_receiver()
        if self._credit == 0:
            self._credit = self._window
        # Of several the SDK waits for all anew, though it has found some in its buffer; and once the rest of the window
        # has come, it asks for another. Not so where at least as many may still come as it waits for.
        most, began = min(self._appetite.size, (self._credit + 1) // 2), self._bus.limits.loop.time()
        wait_s = wait_s if most == 1 else min(wait_s, FOR_ALL_S)
        self._is_sound = False  # until it is back: a receive that was cut leaves messages locked and unseen
        try:
            with self._bus.limits.until(began + wait_s + STALLED_S):
                messages = await receive_some(receiver, most=most, wait_s=wait_s)
                if not messages:
                    await self._prove_alive(receiver)
        except Exception as error:
            failure = explain(error, f"Receiving from {self._source}")
            if isinstance(failure, Unreadable):
                return await self._go_on_without(failure)
            self._drop()  # at once: what was asked for could still come
            raise failure from error
        self._is_sound = True
        self._credit -= len(messages)
        self._appetite.got(len(messages), asked=most, took_s=self._bus.limits.loop.time() - began)
        return self._hold(messages)

    async def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        return await to_the_end(self._settle(batch))

    async def renew_lock(self, delivery: Delivery) -> float | None:
        held = self._held.get(delivery.lock_token)
        if held is None:
            return None
        receiver = self._sound_receiver()
        try:
            until = await receiver.renew_message_lock(held.message, timeout=RENEW_S)
        except MessageLockLostError:
            del self._held[delivery.lock_token]
            return None
        except Exception as error:
            self._drop()
            raise explain(error, f"Renewing a lock of {self._source}") from error
        now = self._hear()
        held.locked_until = min(now.on_loop(until.timestamp()), now.loop_s + self._lock_s)
        return held.locked_until

    async def close(self) -> None:
        self._drop()
        await self._discards.done()

    def _drop(self) -> None:
        self._discards.add(self._receiver)
        self._receiver, self._is_sound, self._credit = None, False, 0

    def _sound_receiver(self) -> ServiceBusReceiver:
        if self._receiver is None or not self._is_sound:
            raise BusUnreachable(f"The link to {self._source} was lost.")
        return self._receiver

    def _hold(self, messages: list[ServiceBusReceivedMessage]) -> list[Delivery]:
        if not messages:
            return []
        now = self._hear()
        deliveries = [
            to_delivery(message, now, lock_s=self._lock_s, ahead_s=self._ahead_s(message, now)) for message in messages
        ]
        for message, delivery in zip(messages, deliveries, strict=True):
            strip_unsettleable(message)
            self._held[delivery.lock_token] = _Held(message, delivery.locked_until)
        return deliveries

    def _ahead_s(self, message: ServiceBusReceivedMessage, now: Instant) -> float:
        stamps = stamps_of(message)
        if stamps is None:
            return 0.0
        ahead_s = self._skew.ahead_s(enqueued=stamps[0], locked_until=stamps[1], now=now.wall_s)
        if ahead_s and not self._is_skew_said:
            self._is_skew_said = True
            _log.warning("clock_ahead_of_broker", ahead_s=round(ahead_s, 1))
        return ahead_s

    async def _prove_alive(self, receiver: ServiceBusReceiver) -> None:
        if asyncio.get_running_loop().time() - self._heard_at > SILENT_S:
            await prove_alive(receiver)
            self._hear()

    async def _go_on_without(self, failure: Unreadable) -> list[Delivery]:
        """The broker is well: no reason to wait, nor to say that this lane doesn't receive."""
        _log.warning("message_unreadable", failure=str(failure))
        await self._discards.done()  # of the receiver before this one: however many such messages come, two connections
        await self.open()
        return []

    async def _settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        """One after the other. Several at once on a connection that is lost make the SDK open as many new ones and
        forget all but one; and what an earlier link delivered could meet its own delivery id in another settlement.
        """
        return [await self._settle_one(delivery, settlement) for delivery, settlement in batch]

    async def _settle_one(self, delivery: Delivery, settlement: Settlement) -> Settled:
        held = self._held.get(delivery.lock_token)
        if isinstance(settlement, LeaveLocked):
            self._held.pop(delivery.lock_token, None)
            return Settled.DONE
        now = self._bus.limits.loop.time()
        if held is None or held.locked_until <= now:
            self._held.pop(delivery.lock_token, None)
            return Settled.LOCK_LOST
        if self._receiver is None or not self._is_sound:
            return Settled.FAILED
        # Not longer than that, because meanwhile another message may wait in the SDK's buffer.
        until = min(now + SETTLE_S, held.locked_until, now + self._lock_s / 4)
        result = await settle(self._receiver, held.message, settlement, self._bus.limits.until(until))
        if result is Settled.FAILED:
            _log.warning(
                "settlement_unconfirmed",
                request_id=request_id_of(delivery),
                sequence_number=delivery.sequence_number,
            )
            self._is_sound = False
        else:
            self._hear()
            del self._held[delivery.lock_token]
        return result

    def _hear(self) -> Instant:
        now = Instant.now()
        self._heard_at = now.loop_s
        return now

    def _forget_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        self._held = {token: held for token, held in self._held.items() if held.locked_until > now}
