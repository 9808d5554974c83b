"""One session lane's task: a session, in it one request after the other, and then the next session.

Strict order needs no more than that: nothing is received while a request is in hand. So settlements and renewals of the
session's lock, which covers its messages, have the receiver to themselves.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from worker.bridge.lane_facts import LaneFacts
from worker.bridge.leash import CUTS_A_WAIT, CutReason, CutShort, Leash
from worker.bridge.observed import Observed
from worker.bridge.outage import Outage
from worker.bridge.ports import SessionLane
from worker.bridge.process import Bridge, Passage
from worker.bridge.renewals import NEVER, RENEWED_AT
from worker.bridge.slot import Slot
from worker.bridge.slots import Slots
from worker.bridge.turns import Turns
from worker.bridge.waking import sleep_until_woken
from worker.core.decode import request_id_of
from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, SessionLost
from worker.core.settlement import Abandon, LeaveLocked, Settled

_STEP_S: Final = 0.5  # how long a stop may go unnoticed by an idle session
_SHORT_STEP_S: Final = 0.05
_FIRST_STEP_S: Final = 2.0  # the broker grants sessions with messages, and the first takes a round trip
_ROUND_TRIPS: Final = 3.0  # in which a further message would have come
_RENEWED_AGAIN_S: Final = 1.0
_IDLE_S: Final = 5.0  # that a session without messages is kept while nobody needs the lane: taking it anew is slow
_TURN_S: Final = 10.0  # that a session has while others may wait for the lane

T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)


class SessionWork:
    """Owns its lane. `max_delivery_count`: what comes so often is the broker's to dead-letter."""

    def __init__(
        self,
        lane: SessionLane,
        *,
        bridge: Bridge,
        slots: Slots,
        turns: Turns,
        max_delivery_count: int,
        observe: Callable[[Observed], None],
    ) -> None:
        self._lane = lane
        self._bridge = bridge
        self._slots = slots
        self._turns = turns
        self._max_delivery_count = max_delivery_count
        self._observe = observe
        self._wake = asyncio.Event()
        self._leash = Leash()  # of waiting for a session
        self._is_stopping = False
        self._is_paused = False
        self._is_sound = False  # whether the broker has answered since the last failure
        self._is_held = False  # the session that was accepted
        self._outage = Outage()
        self._cuts: list[CutReason] = []
        self._slot: Slot | None = None
        self._renew_at = NEVER
        self._round_trip_s = 0.0
        self._renewed = self._lost = self._unconfirmed = 0
        self._is_uncalled = False  # the request that goes back with its session

    @property
    def facts(self) -> LaneFacts:
        return LaneFacts(
            is_on_duty=True,
            is_receiving=self._is_sound and not self._is_stopping and not self._is_paused,
            in_flight=0 if self._slot is None else 1,
            failure=self._outage.why,
            renewals=self._renewed,
            locks_lost=self._lost,
            unconfirmed=self._unconfirmed,
            outages=self._outage.count,
        )

    def pause(self, *, is_paused: bool) -> None:
        """No session is kept or taken, once the request in hand has ended."""
        self._is_paused = is_paused
        self._wake.set()

    def stop(self) -> None:
        self._is_stopping = True
        self._leash.cut(CutReason.STOPPING)
        self.cut(CutReason.STOPPING)
        self._wake.set()

    def cut(self, reason: CutReason) -> None:
        self._cuts.append(reason)
        if self._slot is not None:
            self._slot.passage.leash.cut(reason)

    async def run(self) -> None:
        """Returns after `stop`, when the request in hand is settled and its session handed back."""
        async with asyncio.TaskGroup() as work:
            while not self._is_stopping:
                if await self._get_session():
                    await self._serve(work)
            await self._lane.close()

    async def _get_session(self) -> bool:
        """False when the worker stops first."""
        async with self._turns.accepting():
            while not self._is_stopping:
                if self._is_paused:
                    await sleep_until_woken(self._wake, NEVER)
                    continue
                try:
                    if await self._accept():
                        return True
                except BusFailure as failure:
                    await sleep_until_woken(self._wake, self._failed(failure))
        await self._lane.hand_back(is_uncalled=False)  # it may have come at the last moment
        return False

    async def _accept(self) -> bool:
        accepting = self._lane.accept(wait_s=self._turns.wait_s)
        try:
            self._is_held = await self._leash.hold(accepting, cut_by=CUTS_A_WAIT)
        except CutShort:
            return False
        self._turns.accepted(is_granted=self._is_held)
        self._is_sound = True
        self._outage.heard()
        self._outage.ended()
        return self._is_held

    async def _serve(self, work: asyncio.TaskGroup) -> None:
        pause_s, self._is_uncalled = 0.0, False
        self._slots.take(1, self._wake)  # there are as many as lanes
        try:
            with self._turns.holding():
                await self._serve_session(work)
        except SessionLost as lost:
            _log.warning("session_lost", why=str(lost))
            pause_s = _STEP_S
        except BusFailure as failure:
            pause_s = self._failed(failure)
        finally:
            await self._lane.hand_back(is_uncalled=self._is_uncalled)
            self._slots.give_back(1)
        await sleep_until_woken(self._wake, pause_s)

    def _failed(self, failure: BusFailure) -> float:
        """Seconds to pause."""
        self._is_sound = False
        self._turns.failed()
        return self._outage.began(failure)

    async def _serve_session(self, work: asyncio.TaskGroup) -> None:
        served_since = idle_since = _now()
        step_s = _FIRST_STEP_S
        self._plan_renewal()
        while self._keeps_session(served_since, idle_since):
            if self._renew_at <= _now():
                await self._renew()
                continue
            delivery = await self._lane.receive(wait_s=min(step_s, max(_SHORT_STEP_S, self._renew_at - _now())))
            if delivery is None and self._turns.is_scarce:
                return
            if delivery is not None:
                await self._serve_one(delivery, work)
                idle_since = _now()
            step_s = self._step_s()

    def _step_s(self) -> float:
        if not self._turns.is_scarce:
            return _STEP_S
        return min(_FIRST_STEP_S, max(_SHORT_STEP_S, _ROUND_TRIPS * self._round_trip_s))

    def _keeps_session(self, served_since: float, idle_since: float) -> bool:
        if not self._is_held or self._is_stopping or self._is_paused:
            return False
        now = _now()
        is_turn_over = self._turns.is_scarce and now - served_since >= _TURN_S
        return not is_turn_over and now - idle_since < _IDLE_S

    async def _serve_one(self, delivery: Delivery, work: asyncio.TaskGroup) -> None:
        slot = self._slot = Slot(passage=Passage(bridge=self._bridge, delivery=delivery), started_at=_now())
        for reason in self._cuts:  # a receive may have been under way
            slot.passage.leash.cut(reason)
        try:
            if delivery.delivery_count >= self._max_delivery_count:
                slot.settlement = Abandon()  # uncounted deliveries ended without a word: the broker is to count on
            else:
                await self._begin(slot)
                self._watch_lock(slot)
                await self._keep_lock(work.create_task(slot.work()), slot)
            await self._settle(slot)
        finally:
            self._slot = None

    async def _begin(self, slot: Slot) -> None:
        """What can't be noted is not worked on."""
        try:
            await self._timed(self._lane.begin(slot.delivery))
        except BusFailure:
            slot.settlement = LeaveLocked()
            self._observe(slot.finish(Settled.LOCK_LOST, _now()))
            raise

    async def _keep_lock(self, working: asyncio.Task[None], slot: Slot) -> None:
        """Until the work has ended. A renewal that fails is tried again while the lock lasts."""
        while not working.done():
            await asyncio.wait({working}, timeout=None if self._renew_at == NEVER else max(0, self._renew_at - _now()))
            if working.done() or self._renew_at > _now():
                continue
            try:
                await self._renew()
                self._watch_lock(slot)
            except BusFailure as failure:
                _log.warning(
                    "lock_not_renewed",
                    request_id=request_id_of(slot.delivery),
                    sequence_number=slot.delivery.sequence_number,
                    why=str(failure),
                )
                self._renew_at = _now() + _RENEWED_AGAIN_S if self._is_held else NEVER

    async def _settle(self, slot: Slot) -> None:
        if slot.settlement is None:
            raise AssertionError("only what has ended is settled")
        is_uncalled = isinstance(slot.settlement, Abandon) and not slot.passage.calling.may_have_run
        if self._is_stopping and is_uncalled:
            settled = Settled.DONE  # by handing back the session, which costs no delivery count
            self._is_uncalled = True
        else:
            slot.settling_at = _now()
            settled = await self._timed(self._lane.settle(slot.settlement))
        self._unconfirmed += settled is Settled.FAILED
        if settled is not Settled.DONE or isinstance(slot.settlement, LeaveLocked):
            self._is_held = False
        self._observe(slot.finish(settled, _now()))

    async def _timed(self, operation: Awaitable[T]) -> T:
        """How long the broker takes to answer, as far as the last one shows it."""
        began = _now()
        result = await operation
        self._round_trip_s = _now() - began
        return result

    async def _renew(self) -> None:
        is_renewed = await self._lane.renew_lock()
        if is_renewed and self._is_held:  # its end may have come meanwhile
            self._renewed += 1
            self._plan_renewal()
        else:
            self._lose()

    def _plan_renewal(self) -> None:
        left_s = self._lane.locked_until - _now()
        self._renew_at = _now() + left_s * random.uniform(*RENEWED_AT)  # noqa: S311 - jitter

    def _watch_lock(self, slot: Slot) -> None:
        """By a timer, because its end comes also while a renewal waits for a silent broker."""
        if slot.expiry is not None:
            slot.expiry.cancel()
        if self._is_held:
            slot.expiry = asyncio.get_running_loop().call_at(self._lane.locked_until, self._lose)

    def _lose(self) -> None:
        is_first_told, self._is_held, self._renew_at = self._is_held, False, NEVER
        if is_first_told and self._slot is not None:
            self._slot.passage.leash.cut(CutReason.LOCK_LOST)
            self._lost += 1
            delivery = self._slot.delivery
            _log.warning("lock_lost", request_id=request_id_of(delivery), sequence_number=delivery.sequence_number)


def _now() -> float:
    return asyncio.get_running_loop().time()
