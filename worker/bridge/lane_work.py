"""One lane's task: receive ⇄ settle ⇄ renew, one at a time, because a receiver bears no two users at once.

A caller never waits for a settlement: its reply is out before. A settlement may wait for the receive that is under
way, so a lane with work in hand receives in short steps.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import structlog

from worker.bridge.idling import Idling
from worker.bridge.lane_facts import LaneFacts
from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.outage import Outage
from worker.bridge.ports import Lane
from worker.bridge.process import Bridge, Passage
from worker.bridge.renewals import NEVER, RENEWED_AT, Renewals
from worker.bridge.slot import Slot
from worker.bridge.slots import Slots
from worker.bridge.waking import sleep_until_woken
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.failures import BusFailure
from worker.core.lock_capacity import LockCapacity
from worker.core.settlement import LeaveLocked, Settled, Settlement
from worker.timers import Alarm

_IDLE_WAIT_S: Final = 0.5  # how long a stop may go unnoticed by a lane without work
_BUSY_WAIT_S: Final = 0.05  # how long a settlement may wait for the receive under way
_SETTLED_AT_A_TIME: Final = 8  # so that no lock's renewal waits long
_RENEWED_AT_A_TIME: Final = 8

_log = structlog.stdlib.get_logger(__name__)


class LaneWork:
    """Owns its lane: nobody else touches it. `stop` ends the receiving, not what is in flight."""

    def __init__(self, lane: Lane, *, bridge: Bridge, slots: Slots, observe: Callable[[Observed], None]) -> None:
        self._lane = lane
        self._bridge = bridge
        self._slots = slots
        self._observe = observe
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._is_paused = False
        self._is_resting = False
        self._is_open = False
        self._idling = Idling()
        self._outage = Outage()
        self._cuts: list[CutReason] = []
        self._permits = 0  # slots kept free for what the broker may still send
        self._in_flight: set[Slot] = set()
        self._ended: list[Slot] = []
        self._renewals = Renewals()
        self._capacity = LockCapacity()
        self._renewed = self._lost = self._unconfirmed = 0
        self._expiries = Alarm(self._lose_expired)

    @property
    def facts(self) -> LaneFacts:
        return LaneFacts(
            is_on_duty=not self._is_resting,
            is_receiving=self._is_open and not (self._is_stopping or self._is_paused or self._is_resting),
            in_flight=len(self._in_flight),
            failure=self._outage.why,
            renewals=self._renewed,
            locks_lost=self._lost,
            unconfirmed=self._unconfirmed,
            outages=self._outage.count,
        )

    def pause(self, *, is_paused: bool) -> None:
        """Nothing more is asked for, and what was asked for goes back to the queue."""
        self._is_paused = is_paused
        self._wake.set()

    def rest(self, *, is_resting: bool) -> None:
        """Receive no more until woken, and hold no link once nothing is in flight."""
        self._is_resting = is_resting
        self._wake.set()

    def take_busy_share(self) -> float | None:
        """Of the time since this was last asked: not spent waiting for a request, or for a slot. None while closed."""
        return 1.0 - self._idling.take_share(_now()) if self._is_open else None

    def stop(self) -> None:
        self._is_stopping = True
        self.cut(CutReason.STOPPING)
        self._wake.set()

    def cut(self, reason: CutReason) -> None:
        self._cuts.append(reason)
        for slot in self._in_flight:
            slot.passage.leash.cut(reason)

    async def run(self) -> None:
        """Returns after `stop`, when everything in flight has been settled."""
        async with asyncio.TaskGroup() as work:
            while not self._is_done:
                if self._may_rest:
                    await self._rest()
                    continue
                try:
                    await self._lane.open()
                    self._is_open = True
                    self._idling.restart(_now())
                    self._outage.ended()
                    await self._serve(work)
                except BusFailure as failure:
                    self._is_open = False
                    self._ask_for_nothing()
                    await self._back_off(self._outage.began(failure))
            self._is_open = False
            self._expiries.cancel()
            await self._lane.close()
            self._ask_for_nothing()

    @property
    def _is_done(self) -> bool:
        return self._is_stopping and not self._in_flight

    @property
    def _may_rest(self) -> bool:
        return self._is_resting and not self._in_flight

    async def _rest(self) -> None:
        """What was asked for and not received goes back to the queue."""
        self._is_open = False
        self._outage.given_up()
        await self._lane.close()
        self._ask_for_nothing()
        while self._may_rest and not self._is_stopping:
            await sleep_until_woken(self._wake, NEVER)

    async def _serve(self, work: asyncio.TaskGroup) -> None:
        while True:
            await self._settle_ended()
            await self._renew_due()
            if self._is_done or self._may_rest:
                return
            duty_in_s = self._seconds_to_next_duty()
            if duty_in_s == 0:
                continue
            if self._permits and not self._may_ask:
                await self._hand_back()
                continue
            if not self._permits and not self._take_window():
                await self._sleep(duty_in_s)
                continue
            wait_s = _BUSY_WAIT_S if self._in_flight else _IDLE_WAIT_S
            asked_at = _now()
            self._idling.begin(asked_at)
            deliveries = await self._lane.receive(wait_s=wait_s)
            self._idling.end(_now())
            self._outage.heard()
            for delivery in deliveries:
                self._start(delivery, asked_at, work)
            self._keep_permits(self._lane.credit)

    @property
    def _may_ask(self) -> bool:
        return not (self._is_stopping or self._is_paused or self._is_resting)

    async def _hand_back(self) -> None:
        """What was asked for and not received: the next to come would lie in the link, locked, until that is closed.

        By a new link, through which what is in flight can still be settled.
        """
        await self._lane.open()
        self._keep_permits(self._lane.credit)

    def _take_window(self) -> bool:
        if not self._may_ask or self._is_full:
            self._slots.leave_line(self._wake)
            return False
        if not self._slots.take(self._lane.window, self._wake):
            return False
        self._permits = self._lane.window
        return True

    @property
    def _is_full(self) -> bool:
        """Until some of its requests end: it could not keep more locks alive."""
        return bool(self._in_flight) and len(self._in_flight) + self._lane.window > self._capacity.most

    async def _sleep(self, seconds: float) -> None:
        if not self._is_full:  # another lane would take more
            self._idling.begin(_now())
        await sleep_until_woken(self._wake, seconds)
        self._idling.end(_now())

    def _ask_for_nothing(self) -> None:
        self._slots.leave_line(self._wake)
        self._keep_permits(0)

    def _keep_permits(self, needed: int) -> None:
        surplus = self._permits - needed
        if surplus > 0:
            self._permits -= surplus
            self._slots.give_back(surplus)

    def _start(self, delivery: Delivery, asked_at: float, work: asyncio.TaskGroup) -> None:
        slot = Slot(passage=Passage(bridge=self._bridge, delivery=delivery), started_at=_now(), asked_at=asked_at)
        self._permits -= 1
        self._in_flight.add(slot)
        for reason in self._cuts:  # a receive may have been under way
            slot.passage.leash.cut(reason)
        if delivery.locked_until <= slot.started_at:
            # Somebody else gets it, or has it already. Every message like this: the clock of this machine is ahead.
            _log.warning(
                "lock_expired_on_arrival",
                request_id=request_id_of(delivery),
                sequence_number=delivery.sequence_number,
            )
            slot.settlement = LeaveLocked()
            self._ended.append(slot)
        else:
            self._locked(slot, until=delivery.locked_until)
            work.create_task(self._work(slot))

    async def _work(self, slot: Slot) -> None:
        await slot.work()
        self._ended.append(slot)
        self._wake.set()

    async def _settle_ended(self) -> None:
        """Whatever has ended, a few at a time; what wasn't confirmed is said again, through a new link."""
        began = _now()
        slots = [slot for slot in self._ended if slot.settle_at <= began][:_SETTLED_AT_A_TIME]
        if not slots:
            return
        for slot in slots:
            slot.settling_at = began
        results = await self._lane.settle([(slot.delivery, _settlement_of(slot)) for slot in slots])
        self._capacity.took(_now() - began, operations=len(slots))
        unconfirmed = [slot for slot, settled in zip(slots, results, strict=True) if settled is Settled.FAILED]
        for slot, settled in zip(slots, results, strict=True):
            if settled is not Settled.FAILED:
                self._finish(slot, settled)
            elif slot.locked_until <= _now():
                self._finish(slot, Settled.LOCK_LOST)
        self._unconfirmed += len(unconfirmed)
        if unconfirmed:  # the link is in doubt, and nothing else may find that out soon
            unconfirmed[0].settle_later(_now())  # it alone was tried, and must not keep those behind it waiting
            await self._lane.open()
            self._keep_permits(self._lane.credit)

    def _finish(self, slot: Slot, settled: Settled) -> None:
        self._renewals.cancel(slot)
        self._ended.remove(slot)
        self._in_flight.remove(slot)
        self._slots.give_back(1)
        self._observe(slot.finish(settled, _now()))

    async def _renew_due(self) -> None:
        """A few at a time, so that no settlement waits long."""
        for _ in range(_RENEWED_AT_A_TIME):
            slot = self._renewals.first_due(_now())
            if slot is None:
                return
            began = _now()
            locked_until = await self._lane.renew_lock(slot.delivery)
            self._capacity.took(_now() - began)
            if locked_until is None:
                self._lose(slot)
            elif slot.renew_at <= _now():
                self._renewed += 1
                self._locked(slot, until=locked_until)

    def _locked(self, slot: Slot, *, until: float) -> None:
        """The end of a lock is kept by a timer, because it comes also while the lane waits for a broken link."""
        slot.locked_until = until
        now = _now()
        self._capacity.locked_for(until - now)
        self._renewals.plan(slot, now + (until - now) * random.uniform(*RENEWED_AT))  # noqa: S311 - jitter
        self._expiries.add(until)

    def _lose_expired(self) -> None:
        """And look again when the next lock ends, unless it is renewed."""
        now = _now()
        for slot in [slot for slot in self._in_flight if slot.locked_until <= now]:
            self._lose(slot)
        later = [slot.locked_until for slot in self._in_flight if slot.locked_until > now]
        if later:
            self._expiries.add(min(later))

    def _lose(self, slot: Slot) -> None:
        if slot.renew_at < NEVER:
            self._renewals.cancel(slot)
            slot.locked_until = min(slot.locked_until, _now())
            slot.passage.leash.cut(CutReason.LOCK_LOST)
            self._lost += 1
            self._wake.set()
            _log.warning(
                "lock_lost", request_id=request_id_of(slot.delivery), sequence_number=slot.delivery.sequence_number
            )

    def _seconds_to_next_duty(self) -> float:
        settle_at = min((slot.settle_at for slot in self._ended), default=NEVER)
        return max(0.0, min(settle_at, self._renewals.next_at()) - _now())

    async def _back_off(self, seconds: float) -> None:
        """What ended is given up as its lock runs out meanwhile, and all of it ends the pause."""
        until = _now() + seconds
        while _now() < until and not self._is_done:
            await sleep_until_woken(self._wake, until - _now())
            for slot in [slot for slot in self._ended if slot.locked_until <= _now()]:
                self._finish(slot, Settled.LOCK_LOST)


def _settlement_of(slot: Slot) -> Settlement:
    assert slot.settlement is not None  # noqa: S101 - only what has ended is settled
    return slot.settlement


def _now() -> float:
    return asyncio.get_running_loop().time()
