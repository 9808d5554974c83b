"""One worker process of a simulation: its bridge, pump and memory, its lanes, and its side of the ports."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
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
from worker.core.redelivery import LEAST_WAIT_S, Copy
from worker.core.reply import Reply, Undelivered
from worker.core.request import Call
from worker.core.settlement import Settled

from .fake_queue import now
from .ledger import Entry
from .simulated_flow import SimulatedCall, SimulatedFetch
from .simulated_lanes import Held, SimulatedLane, SimulatedLink, SimulatedSessionLane
from .transcript import Saw
from .virtual_time import OWNER

if TYPE_CHECKING:
    from .simulation import Simulation

DRAIN_S: Final = 10.0
LAST_WORDS_S: Final = 3.0
DEFECT: Final = ZeroDivisionError("ours")
LATE: Final = Undelivered(detail="not accepted in time", is_late=True)
NOT_HERE: Final = Undelivered(detail="no such queue")
_TIMER_S: Final = 0.01  # what a timer's turn may take
_OWN_S: Final = 0.5  # of a request's time in its session, that is neither its flow's nor its waits'


class SimulatedWorker:
    """`troubled_at`: when it last could do nothing about its locks; `opened_at`: when its intake last was."""

    def __init__(self, simulation: "Simulation", name: str, *, lanes: int, concurrency: int) -> None:
        self.simulation = simulation
        self.name = name
        self.concurrency = concurrency
        # As many lanes as slots at most: an idle lane keeps slots for the credit that it gave.
        numbers = range(min(lanes, concurrency))
        window = min(3, concurrency // len(numbers))
        plain = [] if simulation.is_ordered else [SimulatedLane(self, number, window=window) for number in numbers]
        self.session_lanes = [SimulatedSessionLane(self, number) for number in numbers] if simulation.is_ordered else []
        self.lanes: list[SimulatedLink] = [*plain, *self.session_lanes]
        self.held: dict[int, list[Held]] = defaultdict(list)  # by sequence number
        self.is_dead = False
        self.is_frozen = False
        self.is_stopping = False
        self.is_cut = False
        self.troubled_at = 0.0
        self.opened_at = simulation.loop.time()
        self._received = 0
        self._observed = 0
        self._publishing: list[tuple[Reply, Entry]] = []
        spec = simulation.spec
        places = Places(Bulkhead(concurrency, spec.flows, is_kept=not simulation.is_ordered))
        bridge = Bridge(spec=spec, flows=self, replies=self, redeliveries=self, places=places)
        if simulation.is_ordered:
            bridge = replace(bridge, redeliveries=None)
        self.pump = Pump(
            plain,
            sessions=self.session_lanes,
            bridge=bridge,
            concurrency=concurrency,
            max_delivery_count=simulation.queue.max_delivery_count,
            cpu_s=lambda: 0.0,
            observe=self._observe,
        )
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
        self.opened_at = now()
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

    def takes(self, lane: SimulatedLink, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            entry = self.simulation.handed_out(delivery)
            if self.simulation.is_ordered and delivery.delivery_count > entry.deliveries:
                self.simulation.breaks(f"each delivery counts once; {self} is told more of {entry.name}")
            entry.deliveries += 1
            if delivery.delivery_count and not (entry.is_disturbed or entry.may_have_run()):
                self.simulation.breaks(f"no delivery is counted without a cause; that of {entry.name} to {self} is")
            self._received += 1
            lane.in_hand += 1
            self.held[delivery.sequence_number].append(
                Held(delivery=delivery, lane=lane, entry=entry, since=now(), until=delivery.locked_until)
            )
            self.simulation.tell(
                Saw.RECEIVED, lane, self.simulation.name_of(delivery), delivery.delivery_count + 1, by=self
            )
        self.check_slots()

    def all_held(self) -> Iterator[Held]:
        return (held for of_one in self.held.values() for held in of_one)

    def held_of(self, entry: Entry) -> list[Held]:
        return [held for held in self.all_held() if held.entry is entry]

    def find(self, lock_token: str, sequence_number: int) -> Held | None:
        return next((held for held in self.held[sequence_number] if held.delivery.lock_token == lock_token), None)

    def fails_on(self, entry: Entry) -> None:
        entry.defects.add(self)
        self._tell(Saw.DEFECT, entry.name)

    def open_for_s(self) -> float:
        if self.is_dead or self.is_frozen or self.is_stopping or self.pump.facts.is_paused:
            return 0.0
        return now() - max(self.troubled_at, self.opened_at)

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
        if self.simulation.is_ordered:
            self._check_stay(held)
        is_end = observed.settled is Settled.DONE and observed.settlement in {"Complete", "DeadLetter"}
        if is_end and held.delivery.lock_token not in held.lane.applied:
            self.simulation.breaks(
                f"{self} counts {observed.request_id} as settled, but the broker knows nothing of it"
            )

    def _check_abandon(self, held: Held) -> None:
        if self.is_stopping:
            return
        if self.simulation.is_ordered and held.delivery.delivery_count >= self.simulation.queue.max_delivery_count:
            return
        after_s = now() - held.since
        if self not in held.entry.defects:
            cause = "a stop or a defect of ours"
            self.simulation.breaks(f"nothing but {cause} gives a request back; {self} abandons {held.entry.name}")
        elif after_s < min(30.0, 2.0**held.delivery.delivery_count):
            self.simulation.breaks(f"after a defect comes a pause that grows; {self} abandons after {after_s:.2f} s")

    def _check_stay(self, held: Held) -> None:
        """In its session, which waits for it."""
        entry = held.entry
        if entry.ask.has_caller or entry.is_unaware or self in entry.defects or self.troubled_at > held.since:
            return
        most_s = sum(self.simulation.spec.redelivery.delays_s)
        waited_s = now() - held.since - held.called_s
        if waited_s > most_s + _OWN_S:
            self.simulation.breaks(
                f"a session waits {most_s:g} s for one request at most; for {entry.name} it did {waited_s:.2f} s"
            )

    def held_by_one(self, entry: Entry) -> Held | None:
        """None also where two of the worker's lanes hold it, the first in vain: nobody can tell which one acts."""
        all_held = self.held_of(entry)
        return all_held[0] if len(all_held) == 1 else None

    def check_try(self, held: Held) -> None:
        """Of a call that begins: one that follows another under the same lock comes after its wait, if at all."""
        if held.tried_at is None:
            return
        name, delays_s = held.entry.name, self.simulation.spec.redelivery.delays_s
        least_s = min(LEAST_WAIT_S, sum(delays_s) - (held.tried_at - held.since))
        if now() - held.tried_at < least_s - _TIMER_S:
            self.simulation.breaks(f"before a further try comes a wait; {self} calls again at once for {name}")
        if held.tries > len(delays_s):
            self.simulation.breaks(f"tries have an end; {self} tries {name} once more")

    def _check_end(self) -> None:
        facts = self.pump.facts
        if (facts.in_flight, facts.slots_free) != (0, self.concurrency):
            self.simulation.breaks(f"all slots are given back; {self} ends with {facts}")
        if any(lane.is_open or lane.buffer for lane in self.lanes):
            self.simulation.breaks(f"all lanes are closed; {self} ends with one open")
        if self._received != self._observed:
            told = f"{self} had {self._received} and told of {self._observed}"
            self.simulation.breaks(f"every delivery is told of once; {told}")
