"""One worker process of a simulation: its bridge, pump and memory, its lanes, and its side of the ports."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.places import Places
from worker.bridge.process import Bridge
from worker.bridge.pump import Pump
from worker.core.bulkhead import Bulkhead
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Running
from worker.core.redelivery import Copy
from worker.core.reply import Reply, Undelivered
from worker.core.request import Call
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement

from .fake_queue import FakeLane, now
from .ledger import Entry
from .simulated_flow import SimulatedCall, SimulatedFetch
from .transcript import Saw
from .virtual_time import OWNER

if TYPE_CHECKING:
    from .simulation import Simulation

DRAIN_S: Final = 10.0
LAST_WORDS_S: Final = 3.0
DEFECT: Final = ZeroDivisionError("ours")
LATE: Final = Undelivered(detail="not accepted in time", is_late=True)
NOT_HERE: Final = Undelivered(detail="no such queue")
_IDLE_S: Final = 30.0  # that a receive without work in hand takes at most
_TIMER_S: Final = 0.01  # what a timer's turn may take


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """A delivery in a worker's hand. `until`: the end of its lock as the worker was last told."""

    delivery: Delivery
    lane: "SimulatedLane"
    entry: Entry
    since: float
    until: float


class SimulatedWorker:
    """`troubled_at`: when it last could do nothing about its locks."""

    def __init__(self, simulation: "Simulation", name: str, *, lanes: int, concurrency: int) -> None:
        self.simulation = simulation
        self.name = name
        self.concurrency = concurrency
        # As many lanes as slots at most: an idle lane keeps a slot for the credit that it gave.
        self.lanes = [SimulatedLane(self, number) for number in range(min(lanes, concurrency))]
        self.held: dict[int, list[Held]] = defaultdict(list)  # by sequence number
        self.is_dead = False
        self.is_frozen = False
        self.is_stopping = False
        self.is_cut = False
        self.troubled_at = 0.0
        self._received = 0
        self._observed = 0
        self._publishing: list[tuple[Reply, Entry]] = []
        spec = simulation.spec
        places = Places(Bulkhead(concurrency, spec.flows))
        bridge = Bridge(spec=spec, flows=self, replies=self, redeliveries=self, places=places)
        self.pump = Pump(self.lanes, bridge=bridge, concurrency=concurrency, observe=self._observe)
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self.task = simulation.loop.create_task(self._run(), context=self._context)

    def __str__(self) -> str:
        return self.name

    @property
    def is_leaving(self) -> bool:
        """Or gone."""
        return self.is_dead or self.is_stopping or self.task.done()

    # its life

    def stop(self) -> None:
        """As SIGTERM does it."""
        self.is_stopping = True
        loop = self.simulation.loop
        self._tell(Saw.STOPPING)
        loop.call_soon(self._stop, context=self._context)
        loop.call_later(DRAIN_S, self._cut, CutReason.DRAIN_OVER, context=self._context)
        loop.call_later(DRAIN_S + LAST_WORDS_S, self._cut, CutReason.STOP_NOW, context=self._context)

    def kill(self, *, is_heard: bool) -> None:
        """`is_heard`: what it was just sending still arrives."""
        self._tell(Saw.KILLED, "still heard" if is_heard else "lost")
        if is_heard:
            for reply, entry in self._publishing:
                self.simulation.accept(reply, entry, by=self)
            for lane in self.lanes:
                lane.settle_unheard()
        self.is_dead = True
        for lane in self.lanes:
            lane.die()
        if self.is_frozen:
            self.simulation.loop.release(self)
        self.task.cancel()

    def freeze(self) -> None:
        self._tell(Saw.FROZEN)
        self.is_frozen = True
        self.simulation.loop.hold(self)

    def thaw(self) -> None:
        if self.is_frozen and not self.is_dead:
            self._tell(Saw.THAWED)
            self.is_frozen = False
            self.troubled_at = now()
            self.simulation.loop.release(self)

    def pause(self, *, is_paused: bool) -> None:
        self._tell(Saw.PAUSED if is_paused else Saw.RESUMED)
        self.pump.pause(is_paused=is_paused)
        self.stir()

    def stir(self) -> None:
        """Something may be there for its lanes to do."""
        for lane in self.lanes:
            lane.stir()

    async def _run(self) -> None:
        await self.pump.run()
        self._tell(Saw.DRAINED)
        self._check_end()

    def _stop(self) -> None:
        self.pump.stop()
        self.stir()

    def _cut(self, reason: CutReason) -> None:
        if not (self.is_dead or self.task.done()):
            self.is_cut = True
            self._tell(Saw.DRAIN_OVER if reason is CutReason.DRAIN_OVER else Saw.STOP_NOW)
            self.pump.cut(reason)
            self.stir()

    def _tell(self, saw: Saw, *facts: object) -> None:
        self.simulation.tell(saw, self, *facts, by=self)

    # its ports

    def start(self, call: Call) -> SimulatedCall:
        self.require_life()
        return SimulatedCall(self, call, self.simulation.ledger.entries[call.request_id])

    def fetch(self, flow: FlowSpec, running: Running, *, until: float, stays_until: float) -> SimulatedFetch:
        entry = self.simulation.ledger.entries[running.run_id or ""]
        return SimulatedFetch(self, running, entry, min(until, stays_until), is_last=until <= stays_until)

    async def publish(self, reply: Reply, *, until: float) -> Undelivered | None:
        self.require_life()
        entry = self.simulation.ledger.entries[str(reply.properties["request-id"])]
        self.simulation.ledger.tells(entry, reply)
        says, nth = entry.ask.reply_says, entry.publishings
        entry.publishings += 1
        self._publishing.append((reply, entry))
        try:
            await asyncio.sleep(entry.ask.reply_takes_s)
            if (away_s := self.simulation.replies_back_at - now()) > 0:
                await asyncio.sleep(min(away_s, until - now()))
        finally:
            self._publishing.remove((reply, entry))
            self.stir()
        if self.simulation.replies_back_at > now():
            return LATE
        said = says[nth] if nth < len(says) else None
        if isinstance(said, Exception):
            self.fails_on(entry)
            raise said
        if said is None or said is LATE:
            self.simulation.accept(reply, entry, by=self, is_confirmed=said is None)
        else:
            outcome = reply.properties["outcome"]
            self.simulation.tell(
                Saw.REPLY_REFUSED, entry.name, reply.to.session_id, self, outcome, said.detail, by=self
            )
        return said

    async def schedule(self, copy: Copy, *, until: float) -> Undelivered | None:
        """The broker takes it at once, and says so a moment later."""
        self.require_life()
        simulation = self.simulation
        entry = simulation.entry_of(copy.original)
        said = simulation.copies_say
        if said is NOT_HERE:
            self._tell(Saw.COPY_REFUSED, entry.name)
        else:
            simulation.take(copy, entry, by=self)
        try:
            await asyncio.sleep(0.5)
            if said is LATE:
                entry.is_forked = True
                await asyncio.sleep(max(0.0, until - now()))
                self._tell(Saw.COPY_UNHEARD, entry.name)
        finally:
            self.stir()
        return said

    def require_life(self) -> None:
        if self.is_dead:  # its tasks are on their way out, and reach nobody any more
            raise asyncio.CancelledError

    # what can be told of its work

    def takes(self, lane: "SimulatedLane", deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            entry = self.simulation.handed_out(delivery)
            self._received += 1
            lane.in_hand += 1
            self.held[delivery.sequence_number].append(
                Held(delivery=delivery, lane=lane, entry=entry, since=now(), until=delivery.locked_until)
            )
            self.simulation.tell(
                Saw.RECEIVED, lane, self.simulation.name_of(delivery), delivery.delivery_count + 1, by=self
            )
        self.check_slots()

    def held_of(self, entry: Entry) -> list[Held]:
        return [held for all_held in self.held.values() for held in all_held if held.entry is entry]

    def find(self, lock_token: str, sequence_number: int) -> Held | None:
        return next((held for held in self.held[sequence_number] if held.delivery.lock_token == lock_token), None)

    def fails_on(self, entry: Entry) -> None:
        entry.defects.add(self)
        self._tell(Saw.DEFECT, entry.name)

    def check_lock(self, entry: Entry, *, began: float, ended: float) -> None:
        """Of a call that came to its own end. Who stood still meanwhile could not cut it in time."""
        until = max((held.until for held in self.held_of(entry)), default=0.0)
        if ended > until + _TIMER_S and began > self.troubled_at:
            self.simulation.breaks(f"a call is cut when the lock is lost; {self} went on with {entry.name}")

    def check_cut(self, entry: Entry) -> None:
        """Of a call that had begun."""
        if self.is_dead or self.is_cut:
            return
        queue = self.simulation.queue
        if all(queue.locked(held.delivery.lock_token) for held in self.held_of(entry)):
            cause = "a lost lock or the end of the drain"
            self.simulation.breaks(f"nothing but {cause} cuts a call; {self} cut that of {entry.name}")

    def check_slots(self) -> None:
        """Whatever the broker has sent, or may still send, has a slot kept for it."""
        facts = self.pump.facts
        credit = sum(lane.credit for lane in self.lanes)
        if facts.in_flight + credit > self.concurrency - facts.slots_free:
            self.simulation.breaks(f"a slot is kept for each delivery; {self}: {facts}, and credit for {credit}")

    def _observe(self, observed: Observed) -> None:
        self._observed += 1
        all_held = self.held[observed.sequence_number]
        if not all_held:
            self.simulation.breaks(f"{self} tells of a delivery that it never had: {observed.request_id}")
            return
        held = next((held for held in all_held if held.delivery.delivery_count == observed.delivery_count), all_held[0])
        all_held.remove(held)
        held.lane.in_hand -= 1
        if observed.defect is not None and self not in held.entry.defects:
            self.simulation.breaks(f"a defect that nobody planted: {observed.defect}")
        if observed.settlement == "Abandon":
            self._check_abandon(held)
        is_end = observed.settled is Settled.DONE and observed.settlement in {"Complete", "DeadLetter"}
        if is_end and held.delivery.lock_token not in held.lane.applied:
            self.simulation.breaks(
                f"{self} counts {observed.request_id} as settled, but the broker knows nothing of it"
            )

    def _check_abandon(self, held: Held) -> None:
        if self.is_stopping:
            return
        after_s = now() - held.since
        if self not in held.entry.defects:
            cause = "a stop or a defect of ours"
            self.simulation.breaks(f"nothing but {cause} gives a request back; {self} abandons {held.entry.name}")
        elif after_s < min(30.0, 2.0**held.delivery.delivery_count):
            self.simulation.breaks(f"after a defect comes a pause that grows; {self} abandons after {after_s:.2f} s")

    def _check_end(self) -> None:
        facts = self.pump.facts
        if (facts.in_flight, facts.slots_free) != (0, self.concurrency):
            self.simulation.breaks(f"all slots are given back; {self} ends with {facts}")
        if any(lane.is_open or lane.buffer for lane in self.lanes):
            self.simulation.breaks(f"all lanes are closed; {self} ends with one open")
        if self._received != self._observed:
            told = f"{self} had {self._received} and told of {self._observed}"
            self.simulation.breaks(f"every delivery is told of once; {told}")


class SimulatedLane(FakeLane):
    """`applied` are the locks by which the broker has settled a message for good."""

    def __init__(self, worker: SimulatedWorker, number: int) -> None:
        super().__init__(worker.simulation.queue)
        self.worker = worker
        self.name = f"{worker.name} lane-{number}"
        self.troubled_at = 0.0
        self.in_hand = 0
        self.applied: set[str] = set()
        self._settling: Sequence[tuple[Delivery, Settlement]] = ()
        self._is_fresh = False  # what it handed out may end at once
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
        """Whether it could do nothing about a lock, or had it lying in its link for long: its intake was closed."""
        if self.worker.is_frozen or not self.is_open:
            return True
        could_not_at = max(self.worker.troubled_at, self.troubled_at)
        return could_not_at >= granted_at or held.since > granted_at + 0.4 * self.queue.lock_s

    async def open(self) -> None:
        self.worker.require_life()
        await super().open()
        self.troubled_at = now()

    async def receive(self, *, most: int, wait_s: float) -> list[Delivery]:
        self.worker.require_life()
        taken = await super().receive(most=most, wait_s=wait_s)
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

    def _settle_one(self, delivery: Delivery, settlement: Settlement) -> Settled:
        settled = super()._settle_one(delivery, settlement)
        if settled is Settled.FAILED:
            self.troubled_at = now()
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
