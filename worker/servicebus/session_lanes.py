"""A lane of a request queue with sessions: one receiver, which holds one session and then the next."""

import asyncio
import contextlib
from typing import Final

import structlog
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusConnectionError, SessionLockLostError

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, SessionLost
from worker.core.session_note import Notes, SessionNote, read_note
from worker.core.settlement import Abandon, LeaveLocked, Settled, Settlement
from worker.servicebus.connect import SETTLE_S, Bus, Source
from worker.servicebus.convert import LONGEST_LOCK_S, Instant, strip_unsettleable, to_delivery
from worker.servicebus.failures import Unreadable, condition_of, explain
from worker.servicebus.lanes import RENEW_S, STALLED_S
from worker.servicebus.links import Discards, open_link
from worker.servicebus.receiving import SILENT_S, prove_alive, receive_one
from worker.servicebus.settling import settle
from worker.servicebus.shielding import to_the_end
from worker.servicebus.skew import Skew

_log = structlog.stdlib.get_logger(__name__)

MOST_KEPT: Final = 2  # links of a lane that wait for the ends of locks; further ones are closed, and count nothing
_NO_SESSION: Final = "com.microsoft:timeout"  # none came free in time, says the broker


class ReceiverSessionLane:
    """Fits `bridge.ports.SessionLane`. `lock_s`: how long the source's locks last."""

    def __init__(self, bus: Bus, source: Source, *, lock_s: float = LONGEST_LOCK_S) -> None:
        self._bus = bus
        self._source = source
        self._lock_s = lock_s
        self._receiver: ServiceBusReceiver | None = None
        self._held: ServiceBusReceivedMessage | None = None  # the one that isn't settled yet
        self._notes = Notes()
        self._skew = Skew(lock_s)
        self._ahead_s: float | None = None  # None until the session's first message
        self._locked_until = 0.0
        self._heard_at = 0.0
        self._accepted = (Instant.now(), 0.0)
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
        accepted = self._keep_lock_end(self._receiver)
        try:
            state = await self._receiver.session.get_state(timeout=RENEW_S)
        except Exception as error:
            raise self._lost(error, f"Reading the state of a session of {self._source}") from error
        except BaseException:
            self._drop()
            raise
        self._notes = Notes(read_note(state))
        self._accepted, self._ahead_s = accepted, None
        self._hear()
        return True

    async def receive(self, *, wait_s: float) -> Delivery | None:
        receiver = self._sound_receiver()
        try:
            with self._bus.limits.until(self._bus.limits.loop.time() + wait_s + STALLED_S):
                messages = await receive_one(receiver, wait_s=wait_s)
                if not messages and asyncio.get_running_loop().time() - self._heard_at > SILENT_S:
                    await prove_alive(receiver)
                    self._hear()
        except Exception as error:
            raise self._lost(error, f"Receiving from a session of {self._source}") from error
        if not messages:
            return None
        [self._held] = messages
        self._hear()
        until = receiver.session.locked_until_utc
        delivery = to_delivery(
            self._held,
            Instant.now(),
            lock_s=self._lock_s,
            session_locked_until=until,
            ahead_s=self._clock_ahead_s(self._held),
        )
        strip_unsettleable(self._held)
        return self._notes.told(delivery)

    async def begin(self, delivery: Delivery) -> None:
        await self._write(self._notes.begin(delivery))

    async def settle(self, settlement: Settlement) -> Settled:
        return await to_the_end(self._settle(settlement))

    async def renew_lock(self) -> bool:
        receiver = self._sound_receiver()
        try:
            await receiver.session.renew_lock(timeout=RENEW_S)
        except (SessionLockLostError, ServiceBusConnectionError):
            self._drop()
            return False
        except Exception as error:
            raise explain(error, f"Renewing the lock on a session of {self._source}") from error
        self._keep_lock_end(receiver)
        self._hear()
        return True

    async def hand_back(self, *, is_uncalled: bool) -> None:
        if is_uncalled:
            self._notes.taken_back()
        await to_the_end(self._hand_back())

    async def close(self) -> None:
        self._drop()
        await self._discards.done()

    async def _hand_back(self) -> None:
        if self._receiver is not None:
            with contextlib.suppress(BusFailure):  # the next holder takes it as begun, then
                await self._write(self._notes.remaining)
        self._drop()

    async def _write(self, note: SessionNote | None) -> None:
        """Never beyond the lock: it would be another holder's state."""
        if note == self._notes.written:
            return
        receiver = self._sound_receiver()
        left_s = self._locked_until - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise SessionLost(f"The lock on a session of {self._source} has ended.")
        try:
            await receiver.session.set_state(None if note is None else note.encode(), timeout=min(RENEW_S, left_s))
        except Exception as error:
            raise self._lost(error, f"Writing the state of a session of {self._source}") from error
        self._notes.written = note
        self._hear()

    async def _settle(self, settlement: Settlement) -> Settled:
        held, self._held = self._held, None
        if isinstance(settlement, LeaveLocked):
            return Settled.DONE
        limits = self._bus.limits
        now = limits.loop.time()
        if self._receiver is None or held is None or self._locked_until <= now:
            return Settled.LOCK_LOST
        result = await settle(self._receiver, held, settlement, limits.until(min(now + SETTLE_S, self._locked_until)))
        if result is not Settled.DONE:
            self._drop()
            return result
        self._hear()
        if isinstance(settlement, Abandon):
            self._notes.counted()
        else:
            self._notes.gone()
        return result

    def _keep_lock_end(self, receiver: ServiceBusReceiver) -> tuple[Instant, float]:
        """When it was taken, and its end by the broker's clock."""
        now, until = Instant.now(), receiver.session.locked_until_utc
        stated = now.wall_s if until is None else until.timestamp()
        self._locked_until = min(now.on_loop(stated), now.loop_s + self._lock_s)
        return now, stated

    def _clock_ahead_s(self, message: ServiceBusReceivedMessage) -> float:
        """Told from the session's first message, which was there before its lock was taken."""
        if self._ahead_s is None:
            now, locked_until = self._accepted
            enqueued = message.enqueued_time_utc
            self._ahead_s = (
                0.0
                if enqueued is None
                else self._skew.ahead_s(enqueued=enqueued.timestamp(), locked_until=locked_until, now=now.wall_s)
            )
        return self._ahead_s

    def _hear(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    def _lost(self, error: Exception, doing: str) -> BusFailure:
        """The session is, and why."""
        failure = explain(error, doing)
        if isinstance(failure, Unreadable):
            # Only the end of a lock counts as a delivery, and after enough of these the broker takes the message out.
            _log.warning("message_unreadable", failure=str(failure))
            if len(self._discards) < MOST_KEPT:
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
        self._receiver, self._held = None, None
