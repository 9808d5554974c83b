"""A lane of a request queue with sessions: one receiver, which holds one session and then the next."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

import structlog
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import SessionLockLostError

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, SessionLost
from worker.core.session_note import SessionNote, begun_before, read_note
from worker.core.settlement import LeaveLocked, Settled, Settlement
from worker.servicebus.connect import SETTLE_S, Bus, Source
from worker.servicebus.convert import LONGEST_LOCK_S, Instant, strip_unsettleable, to_delivery
from worker.servicebus.failures import Unreadable, condition_of, explain
from worker.servicebus.lanes import RENEW_S, STALLED_S
from worker.servicebus.links import Discards, open_link
from worker.servicebus.receiving import SILENT_S, prove_alive, receive_some
from worker.servicebus.settling import settle
from worker.servicebus.shielding import to_the_end

_log = structlog.stdlib.get_logger(__name__)

_NO_SESSION: Final = "com.microsoft:timeout"  # none came free in time, says the broker


class ReceiverSessionLane:
    """Fits `bridge.ports.SessionLane`. `lock_s`: how long the source's locks last."""

    def __init__(self, bus: Bus, source: Source, *, lock_s: float = LONGEST_LOCK_S) -> None:
        self._bus = bus
        self._source = source
        self._lock_s = lock_s
        self._receiver: ServiceBusReceiver | None = None
        self._held: ServiceBusReceivedMessage | None = None  # the one that isn't settled yet
        self._note: SessionNote | None = None  # as the session's state has it
        self._locked_until = 0.0
        self._heard_at = 0.0
        self._discards = Discards()

    @property
    def locked_until(self) -> float:
        return self._locked_until

    async def accept(self, *, wait_s: float) -> bool:
        self._drop()
        link = self._bus.next_session(self._source, wait_s=wait_s)
        try:
            self._receiver = await open_link(link, f"Accepting a session of {self._source}")
        except BusFailure as failure:
            if condition_of(failure) == _NO_SESSION:
                return False
            raise
        self._keep_lock_end(self._receiver)
        try:
            state = await self._receiver.session.get_state(timeout=RENEW_S)
        except Exception as error:
            raise self._lost(error, f"Reading the state of a session of {self._source}") from error
        except BaseException:
            self._drop()
            raise
        self._note = read_note(state)
        self._heard_at = asyncio.get_running_loop().time()
        return True

    async def receive(self, *, wait_s: float) -> Delivery | None:
        receiver = self._sound_receiver()
        try:
            async with asyncio.timeout(wait_s + STALLED_S):
                messages = await receive_some(receiver, most=1, wait_s=wait_s)
                if not messages:
                    await self._prove_alive(receiver)
        except Exception as error:
            raise self._lost(error, f"Receiving from a session of {self._source}") from error
        self._heard_at = asyncio.get_running_loop().time()
        if not messages:
            return None
        [self._held] = messages
        until = receiver.session.locked_until_utc
        delivery = to_delivery(self._held, Instant.now(), lock_s=self._lock_s, session_locked_until=until)
        strip_unsettleable(self._held)
        before = begun_before(self._note, delivery.sequence_number)
        return replace(delivery, delivery_count=delivery.delivery_count + before)

    async def begin(self, delivery: Delivery) -> None:
        before = begun_before(self._note, delivery.sequence_number)
        await self._write(SessionNote(sequence_number=delivery.sequence_number, times=before + 1))

    async def settle(self, settlement: Settlement) -> Settled:
        return await to_the_end(self._settle(settlement))

    async def renew_lock(self) -> bool:
        receiver = self._sound_receiver()
        try:
            await receiver.session.renew_lock(timeout=RENEW_S)
        except SessionLockLostError:
            self._drop()
            return False
        except Exception as error:
            raise self._lost(error, f"Renewing the lock on a session of {self._source}") from error
        self._keep_lock_end(receiver)
        return True

    async def hand_back(self) -> None:
        await to_the_end(self._hand_back())

    async def close(self) -> None:
        self._drop()
        await self._discards.done()

    async def _hand_back(self) -> None:
        """Without a note: nobody has begun what is unsettled. Otherwise the state would stay there for ever."""
        if self._receiver is not None and self._note is not None:
            with contextlib.suppress(BusFailure):  # the next holder takes it as begun, then
                await self._write(None)
        self._drop()

    async def _write(self, note: SessionNote | None) -> None:
        receiver = self._sound_receiver()
        try:
            await receiver.session.set_state(None if note is None else note.encode(), timeout=RENEW_S)
        except Exception as error:
            raise self._lost(error, f"Writing the state of a session of {self._source}") from error
        self._note = note

    async def _settle(self, settlement: Settlement) -> Settled:
        held, self._held = self._held, None
        if isinstance(settlement, LeaveLocked):
            return Settled.DONE
        left_s = self._locked_until - asyncio.get_running_loop().time()
        if self._receiver is None or held is None or left_s <= 0:
            return Settled.LOCK_LOST
        result = await settle(self._receiver, held, settlement, within_s=min(SETTLE_S, left_s))
        if result is not Settled.DONE:
            self._drop()
        return result

    def _keep_lock_end(self, receiver: ServiceBusReceiver) -> None:
        now, until = Instant.now(), receiver.session.locked_until_utc
        stated = now.loop_s if until is None else now.on_loop(until.timestamp())
        self._locked_until = min(stated, now.loop_s + self._lock_s)

    async def _prove_alive(self, receiver: ServiceBusReceiver) -> None:
        if asyncio.get_running_loop().time() - self._heard_at > SILENT_S:
            await prove_alive(receiver)

    def _lost(self, error: Exception, doing: str) -> BusFailure:
        """The session is, and why."""
        failure = explain(error, doing)
        if isinstance(failure, Unreadable):
            # Only the end of a lock counts as a delivery, and after enough of these the broker takes the message out.
            _log.warning("message_unreadable", failure=str(failure))
            self._discards.add(self._receiver, after_s=self._locked_until - asyncio.get_running_loop().time())
            self._receiver = None
        self._drop()
        if isinstance(failure, Unreadable) or isinstance(error, SessionLockLostError):
            return SessionLost(str(failure))
        return failure

    def _sound_receiver(self) -> ServiceBusReceiver:
        if self._receiver is None:
            raise SessionLost(f"The session of {self._source} was lost.")
        return self._receiver

    def _drop(self) -> None:
        self._discards.add(self._receiver)
        self._receiver, self._held, self._note = None, None, None
