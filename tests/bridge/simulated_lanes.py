"""The lanes of a simulated worker: each tells what it does, and holds its owner to what a lane may expect."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, Misconfigured
from worker.core.session_note import SessionNote
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement

from .fake_queue import Counted, FakeLane, FakeLink, now
from .fake_sessions import FakeSession, FakeSessionLane, FakeSessionQueue, Hold
from .ledger import Entry
from .transcript import Saw

if TYPE_CHECKING:
    from .simulated_worker import SimulatedWorker

_IDLE_S: Final = 30.0  # that a receive without work in hand takes at most
_KEPT_S: Final = 6.0  # that a session without messages is kept at most
_TURN_S: Final = 11.0  # and one that has some, while others wait for a lane
_SOON_S: Final = 1.0  # for a worker to see that they do
_PAUSE_S: Final = 3.0  # that a lane makes after a failure, before it accepts a session
_PAUSE_MISCONFIGURED_S: Final = 16.0


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """A delivery in a worker's hand. `until`: the end of its lock as the worker was last told.

    `tries` of its flow that count, in all `called_s` long; the last one ended at `tried_at`.
    """

    delivery: Delivery
    lane: "SimulatedLink"
    entry: Entry
    since: float
    until: float
    tries: int = 0
    called_s: float = 0.0
    tried_at: float | None = None


class SimulatedLink(FakeLink):
    """`applied` are the locks by which the broker has settled a message for good."""

    def __init__(self, worker: "SimulatedWorker", number: int, **link: Any) -> None:
        super().__init__(worker.simulation.queue, **link)
        self.worker = worker
        self.name = f"{worker.name} lane-{number}"
        self.troubled_at = 0.0
        self.in_hand = 0
        self.applied: set[str] = set()
        self._settling: Sequence[tuple[Delivery, Settlement]] = ()
        self.confirms = lambda _settlement: worker.simulation.confirms()

    def __str__(self) -> str:
        return self.name

    def die(self) -> None:
        """Nobody closes the link; what was delivered into it comes back when its lock ends."""
        self.queue.lanes.remove(self)
        self.buffer.clear()
        self.credit = 0

    def settle_unheard(self) -> None:
        for delivery, settlement in self._settling:
            self._apply(delivery, settlement)

    def may_lose(self, held: Held, *, granted_at: float) -> bool:
        """Whether it could do nothing about a lock."""
        could_not_at = max(self.worker.troubled_at, self.troubled_at)
        return self.worker.is_frozen or not self.is_open or could_not_at >= granted_at

    def _settle_one(self, delivery: Delivery, settlement: Settlement) -> Settled:
        settled = super()._settle_one(delivery, settlement)
        if settled is Settled.FAILED:
            self.troubled_at = now()
            self.worker.simulation.entry_of(delivery).is_disturbed = True
            is_applied = "yes" if delivery.lock_token in self.applied else "no"
            self._tell(Saw.UNCONFIRMED, delivery, is_applied)
        return settled

    def _apply(self, delivery: Delivery, settlement: Settlement) -> Settled:
        if self.queue.locked(delivery.lock_token) is None:
            self._tell(Saw.TOO_LATE, delivery)
            return super()._apply(delivery, settlement)
        match settlement:
            case Abandon():
                self._tell(Saw.ABANDONED, delivery)
            case Complete():
                self._tell(Saw.COMPLETED, delivery)
                self.applied.add(delivery.lock_token)
            case DeadLetter(reason=reason, description=description):
                self._tell(Saw.DEAD_LETTERED, delivery, reason.value, description)
                self.applied.add(delivery.lock_token)
            case LeaveLocked():
                pass
        return super()._apply(delivery, settlement)

    def _tell(self, saw: Saw, delivery: Delivery, *facts: object) -> None:
        simulation = self.worker.simulation
        simulation.tell(saw, self, simulation.name_of(delivery), *facts, by=self.worker)


class SimulatedLane(SimulatedLink, FakeLane):
    def __init__(self, worker: "SimulatedWorker", number: int, *, window: int) -> None:
        super().__init__(worker, number, window=window)
        self._is_fresh = False  # what it handed out may end at once

    def may_lose(self, held: Held, *, granted_at: float) -> bool:
        """Also where it had it lying in its link for long: its intake was closed."""
        is_late = held.since > granted_at + 0.4 * self.queue.lock_s
        return is_late or super().may_lose(held, granted_at=granted_at)

    async def open(self) -> None:
        self.worker.require_life()
        await super().open()
        self.troubled_at = now()

    async def receive(self, *, wait_s: float) -> list[Delivery]:
        self.worker.require_life()
        taken = await super().receive(wait_s=wait_s)
        self._is_fresh = bool(taken)
        if taken:
            self.worker.takes(self, taken)
        return taken

    async def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> list[Settled]:
        self.worker.require_life()
        self._settling = batch
        try:
            return await super().settle(batch)
        finally:
            self._settling = ()

    async def renew_lock(self, delivery: Delivery) -> float | None:
        self.worker.require_life()
        until = await super().renew_lock(delivery)
        self._tell(Saw.LOCK_NOT_RENEWED if until is None else Saw.LOCK_RENEWED, delivery)
        held = self.worker.find(delivery.lock_token, delivery.sequence_number)
        if held is not None:
            held.until = now() if until is None else until
        return until

    async def _wait(self, longest_s: float) -> None:
        """As one wait what would be many that bring nothing: it ends when the last of them would have ended."""
        if self._is_fresh:
            await super()._wait(longest_s)
            return
        started = now()
        await super()._wait(max(longest_s, self.queue.lock_s / 10) if self.in_hand else _IDLE_S)
        if not self.buffer and self.is_open:
            await asyncio.sleep(longest_s - (now() - started) % longest_s)


class SimulatedSessionLane(SimulatedLink, FakeSessionLane):
    """`accepted_at`: its session, and `idle_since`: in it; `free_since`: without one, and able to accept one."""

    queue: FakeSessionQueue

    def __init__(self, worker: "SimulatedWorker", number: int) -> None:
        super().__init__(worker, number)
        self.accepted_at = 0.0
        self.idle_since = 0.0
        self.free_since = worker.simulation.loop.time()
        self.longest_pause_s = _PAUSE_S

    def die(self) -> None:
        """Whose connection ends with it, at no delivery count."""
        for held in self._all_held():
            held.entry.is_disturbed = True
        self._drop()
        super().die()

    def fail(self, outage: BusFailure, *, is_noticed: bool = False) -> None:
        for held in self._all_held():
            held.entry.is_disturbed = True
            held.entry.is_unaware |= is_noticed
        self.troubled_at = now()
        self.longest_pause_s = _PAUSE_MISCONFIGURED_S if isinstance(outage, Misconfigured) else _PAUSE_S
        super().fail(outage, is_noticed=is_noticed)

    def recover(self) -> None:
        super().recover()
        self.free_since = self.worker.simulation.loop.time()

    def loses(self, hold: Hold, why: Counted | None) -> None:
        super().loses(hold, why)
        if why is None or self.hold is not hold:
            return
        simulation, session = self.worker.simulation, f"session {hold.session.id}"
        if why is Counted.TAKEN:
            simulation.tell(Saw.LOCK_TAKEN, session, self)
            return
        simulation.tell(Saw.LOCK_EXPIRED, session, self)
        granted_at = hold.locked_until - self.queue.lock_s
        could_not_at = max(self.worker.troubled_at, self.troubled_at)
        if not self.worker.is_frozen and self.is_open and could_not_at < granted_at:
            simulation.breaks(f"the lock on a session is renewed while it is held; {self} let that on {session} end")

    async def accept(self, *, wait_s: float) -> bool:
        self.worker.require_life()
        is_granted = await super().accept(wait_s=wait_s)
        if self.session is not None:
            self.accepted_at = self.idle_since = now()
            self._tell_of(Saw.ACCEPTED, self.session)
            self.worker.simulation.accepts(self.worker)
        return is_granted

    async def receive(self, *, wait_s: float) -> Delivery | None:
        self.worker.require_life()
        if self.in_hand:
            self.worker.simulation.breaks(f"what is in hand is settled before more is asked for; {self} asks")
        self._check_turn()
        delivery = await super().receive(wait_s=wait_s)
        if delivery is None:
            self._check_idle()
        else:
            self.worker.takes(self, [delivery])
            self.worker.simulation.check_idle_lanes()
        return delivery

    async def begin(self, delivery: Delivery) -> None:
        self.worker.require_life()
        await super().begin(delivery)

    async def settle(self, settlement: Settlement) -> Settled:
        self.worker.require_life()
        self.idle_since = now()
        self._settling = () if self._in_hand is None else [(self._in_hand, settlement)]
        try:
            return await super().settle(settlement)
        finally:
            self._settling = ()

    async def renew_lock(self) -> bool:
        self.worker.require_life()
        session = self.session
        is_renewed = await super().renew_lock()
        if session is not None:
            self._tell_of(Saw.LOCK_RENEWED if is_renewed else Saw.LOCK_NOT_RENEWED, session)
        for held in self._all_held():
            held.until = self.locked_until if is_renewed else min(held.until, now())
        return is_renewed

    async def hand_back(self, *, is_uncalled: bool) -> None:
        self.worker.require_life()
        session, began, is_held = self.session, now(), self.hold is not None and self.hold.is_on
        await super().hand_back(is_uncalled=is_uncalled)
        self.free_since = now()
        if session is not None:
            self._tell_of(Saw.HANDED_BACK, session)
            if is_held and max(self.troubled_at, self.worker.troubled_at) < began:
                self._check_note(session)

    def _check_note(self, session: FakeSession) -> None:
        """Where more is to come, the next holder sees to it."""
        if session.note is not None and not self.queue.messages_of(session):
            self.worker.simulation.breaks(f"no note is left of what has ended; {self} leaves one in {session.id}")

    def _check_turn(self) -> None:
        """Of a session that goes on while others wait."""
        served_s = now() - max(self.accepted_at, self.worker.troubled_at)
        if self.session is not None and served_s > _TURN_S and self._is_scarce():
            self.worker.simulation.breaks(f"a session makes room after its turn; {self} keeps {self.session.id}")

    def _check_idle(self) -> None:
        idle_s = now() - self.idle_since
        is_due = idle_s > _KEPT_S or (idle_s > _SOON_S and self._is_scarce())
        if is_due and self.worker.troubled_at < now() - idle_s:
            self.worker.simulation.breaks(f"an idle session is handed back; {self} keeps one for {idle_s:.2f} s")

    @property
    def keeps_session(self) -> bool:
        return self.session is not None and self._in_use_by != "hand_back"

    def lets_wait(self, for_s: float) -> bool:
        """A session, although it could accept it."""
        is_able = self.hold is None and self.outage is None
        return is_able and min(for_s, now() - self.free_since, self.worker.open_for_s()) > self.longest_pause_s

    def _is_scarce(self) -> bool:
        """Every lane holds a session while another waits, and has for a while."""
        lanes = self.worker.session_lanes
        is_full = all(lane.keeps_session and now() - lane.accepted_at > _SOON_S for lane in lanes)
        return is_full and self.queue.longest_wait_s() > _SOON_S

    def _all_held(self) -> list[Held]:
        return [held for held in self.worker.all_held() if held.lane is self]

    def _apply(self, delivery: Delivery, settlement: Settlement) -> Settled:
        worker, entry = self.worker, self.worker.simulation.entry_of(delivery)
        is_left = worker.is_stopping and isinstance(settlement, Abandon) and worker not in entry.defects
        if is_left and delivery.delivery_count < self.queue.max_delivery_count and not entry.may_have_run():
            worker.simulation.breaks(f"a stop costs what was not called no delivery; {worker} abandons {entry.name}")
        return super()._apply(delivery, settlement)

    def _note_in(self, session: FakeSession, note: SessionNote | None) -> None:
        super()._note_in(session, note)
        if note is not None:
            self._tell_of(Saw.NOTED, session, note.times)

    def _tell_of(self, saw: Saw, session: FakeSession, *facts: object) -> None:
        self.worker.simulation.tell(saw, self, f"session {session.id}", *facts, by=self.worker)
