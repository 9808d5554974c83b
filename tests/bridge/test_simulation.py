"""The pump in a world that goes wrong at random: what must hold, holds whatever happens when.

One request queue, a few lanes, and a schedule drawn by Hypothesis: requests, outages, lost locks, refused replies,
unconfirmed settlements, defects of ours, and when the worker is told to stop. Set FLOWBRIDGE_EXAMPLES for more of it.
"""

import asyncio
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import count

import structlog
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.places import Places
from worker.bridge.process import Bridge
from worker.bridge.pump import Pump
from worker.core.bulkhead import Bulkhead
from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import (
    Answered,
    Expired,
    FlowOutcome,
    Indeterminate,
    Reason,
    Running,
    Unavailable,
    lost_sight_of,
)
from worker.core.redelivery import Copy, RedeliverySpec
from worker.core.reply import Reply, Undelivered
from worker.core.request import Call
from worker.core.settlement import Complete, DeadLetter, Settlement

from .fake_queue import FakeLane, FakeQueue, now
from .virtual_time import STARTS_AT, in_virtual_time
from .world import ANSWERED, CALLER, EXPIRED, INDETERMINATE, REFUSED, RUNNING, SPEC, UNAVAILABLE, World

EXAMPLES = int(os.environ.get("FLOWBRIDGE_EXAMPLES", "50"))
HORIZON_S = 600.0  # by then a worker that isn't stopped has brought everything to its end
DRAIN_S = 10.0
LAST_WORDS_S = 3.0
DEFECT = ZeroDivisionError("ours")
TOO_LARGE = Undelivered(detail="above the limit", is_too_large=True)
NO_QUEUE = Undelivered(detail="no such queue")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request. What its flow makes of each call, and the queue of each reply; the last `ending` is for all after."""

    at: float
    flow: str
    has_caller: bool
    takes_s: float
    safe_for_s: float
    endings: tuple[FlowOutcome | Running | Exception, ...]
    reply_takes_s: float
    reply_says: tuple[Undelivered | Exception | None, ...]

    @property
    def is_idempotent(self) -> bool:
        return self.flow == "safe"


@dataclass(frozen=True, kw_only=True)
class Outage:
    at: float
    lane: int
    lasts_s: float
    failure: BusFailure
    applies_unconfirmed: bool


@dataclass(frozen=True, kw_only=True)
class Schedule:
    sent: list[Sent]
    outages: list[Outage]
    lost_locks: list[tuple[float, int]]  # when, and of which sequence number
    unconfirmed: set[int]  # which settlements, in order
    concurrency: int
    lanes: int
    lock_s: float
    stop_at: float | None


at = st.integers(0, 60).map(lambda number: number / 3)
schedules = st.builds(
    Schedule,
    sent=st.lists(
        st.builds(
            Sent,
            at=at,
            flow=st.sampled_from(["risky", "safe", "wary"]),
            has_caller=st.booleans(),
            takes_s=st.sampled_from([0.0, 0.5, 5.0, 15.0]),
            safe_for_s=st.sampled_from([0.0, 3.0]),
            endings=st.lists(
                st.sampled_from([ANSWERED, REFUSED, UNAVAILABLE, INDETERMINATE, EXPIRED, RUNNING, DEFECT]),
                min_size=1,
                max_size=3,
            ).map(tuple),
            reply_takes_s=st.sampled_from([0.0, 0.2, 5.0]),
            reply_says=st.lists(st.sampled_from([None, TOO_LARGE, NO_QUEUE, DEFECT]), max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=6,
    ),
    outages=st.lists(
        st.builds(
            Outage,
            at=at,
            lane=st.integers(0, 2),
            lasts_s=st.sampled_from([0.1, 2.0, 15.0]),
            failure=st.sampled_from([BusUnreachable("reset"), Misconfigured("no such queue")]),
            applies_unconfirmed=st.booleans(),
        ),
        max_size=3,
    ),
    lost_locks=st.lists(st.tuples(at, st.integers(1, 6)), max_size=4),
    unconfirmed=st.sets(st.integers(0, 15), max_size=4),
    concurrency=st.integers(1, 4),
    lanes=st.integers(1, 3),
    lock_s=st.sampled_from([4.0, 20.0]),
    stop_at=st.none() | at,
)


class Simulation:
    """The ports of the bridge, and a record of all that a stranger sees of the worker."""

    def __init__(self, schedule: Schedule) -> None:
        self.plan = schedule
        self.world = World()
        self.queue = FakeQueue(lock_s=schedule.lock_s, max_delivery_count=5, on_end=self.ends)
        # As many lanes as slots at most: an idle lane keeps a slot for the credit that it gave.
        self.lanes = [FakeLane(self.queue) for _ in range(min(schedule.lanes, schedule.concurrency))]
        self.settlements = count()
        for lane in self.lanes:
            lane.confirms = lambda _settlement: next(self.settlements) not in schedule.unconfirmed
        spec = replace(SPEC, redelivery=RedeliverySpec(delays_s=(2.0, 5.0), max_age_s=100.0))
        places = Places(Bulkhead(schedule.concurrency, spec.flows))
        bridge = Bridge(spec=spec, flows=self, replies=self, redeliveries=self, places=places)
        self.observed: list[Observed] = []
        self.pump = Pump(self.lanes, bridge=bridge, concurrency=schedule.concurrency, observe=self.observed.append)
        self.sent: dict[str, Sent] = {}  # by request id
        self.calls: Counter[str] = Counter()
        self.may_have_run: set[str] = set()
        self.answered: set[str] = set()
        self.publishings: Counter[str] = Counter()
        self.replies: dict[str, list[Reply]] = defaultdict(list)
        self.copies: dict[int, Copy] = {}  # by the sequence number of the original
        self.copies_under_way = 0
        self.broken: list[str] = []  # laws; an error raised here would count as a defect of the bridge's

    # the ports

    def start(self, call: Call) -> "SimulatedCall":
        return SimulatedCall(self, call, self.sent[call.request_id])

    def fetch(self, flow: FlowSpec, running: Running, *, until: float, stays_until: float) -> "SimulatedFetch":
        return SimulatedFetch(self, running, min(until, stays_until), is_last=until <= stays_until)

    async def publish(self, reply: Reply, *, until: float) -> Undelivered | None:
        request_id = str(reply.properties["request-id"])
        sent, nth = self.sent[request_id], self.publishings[request_id]
        self.publishings[request_id] += 1
        await asyncio.sleep(sent.reply_takes_s)
        said = sent.reply_says[nth] if nth < len(sent.reply_says) else None
        if isinstance(said, Exception):
            raise said
        if said is None:
            self.replies[request_id].append(reply)
        return said

    async def schedule(self, copy: Copy, *, until: float) -> Undelivered | None:
        """The broker takes it at once, drops what it has had before, and says so a moment later."""
        original = copy.original
        if original.sequence_number not in self.copies:
            self.copies[original.sequence_number] = copy
            self.copies_under_way += 1
            asyncio.get_running_loop().call_later(copy.delay_s, self._put_copy, copy)
        self.check(self.copies[original.sequence_number].message_id == copy.message_id, "one copy, one id")
        await asyncio.sleep(0.5)
        return None

    def _put_copy(self, copy: Copy) -> None:
        self.copies_under_way -= 1
        self.queue.put(self.world.received(copy))

    # laws that hold at every moment

    def ends(self, delivery: Delivery, settlement: Settlement | None) -> None:
        request_id = str(delivery.properties.get("request-id", delivery.message_id))
        sent = self.sent[request_id]
        match settlement:
            case Complete() if sent.has_caller:
                is_copied = delivery.sequence_number in self.copies
                self.check(is_copied or bool(self.replies[request_id]), "reply first, then complete")
            case Complete():
                is_copied = delivery.sequence_number in self.copies
                self.check(is_copied or request_id in self.answered, "completed, but neither answered nor copied")
            case DeadLetter(reason=reason) if sent.has_caller:
                self.check(reason is Reason.REPLY_UNDELIVERABLE, "a caller's request has an answer")
            case _:
                pass

    def check_permits(self) -> None:
        facts = self.pump.facts
        credit = sum(lane.credit for lane in self.lanes)
        self.check(facts.in_flight + credit <= self.plan.concurrency - facts.slots_free, "a slot for each delivery")

    def check(self, holds: bool, law: str) -> None:
        if not holds:
            self.broken.append(f"at {now():.2f}: {law}")

    # the course of events

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for sent in self.plan.sent:
            delivery = self.world.delivery(
                sent.flow,
                properties={"timeout-s": 90} if sent.has_caller else {},
                enqueued_at=STARTS_AT + sent.at,
                **(CALLER if sent.has_caller else {}),
            )
            self.sent[delivery.message_id or ""] = sent
            loop.call_at(STARTS_AT + sent.at, self.queue.put, delivery)
        for outage in self.plan.outages:
            lane = self.lanes[outage.lane % len(self.lanes)]
            loop.call_at(STARTS_AT + outage.at, self._break, lane, outage)
            loop.call_at(STARTS_AT + outage.at + outage.lasts_s, lane.recover)
        for lost_at, sequence_number in self.plan.lost_locks:
            loop.call_at(STARTS_AT + lost_at, self.queue.lose_lock, sequence_number)
        async with asyncio.TaskGroup() as tasks:
            pumping = tasks.create_task(self.pump.run())
            if self.plan.stop_at is None:
                await self._until_all_is_done()
            else:
                await self._until(STARTS_AT + self.plan.stop_at)
            self.pump.stop()
            await asyncio.wait({pumping}, timeout=DRAIN_S)
            self.pump.cut(CutReason.DRAIN_OVER)
            await asyncio.wait({pumping}, timeout=LAST_WORDS_S)
            self.pump.cut(CutReason.STOP_NOW)
            await asyncio.wait({pumping}, timeout=self.plan.lock_s + 5.0)
            assert pumping.done(), "with its last lock a worker has nothing left to do"

    async def _until_all_is_done(self) -> None:
        last = max(sent.at for sent in self.plan.sent)
        await self._until(STARTS_AT + last + 1.0)
        while self.queue.messages or self.copies_under_way:
            assert now() < STARTS_AT + HORIZON_S, "every request that a worker receives ends"
            await self._until(now() + 1.0)

    async def _until(self, when: float) -> None:
        while (left := when - now()) > 0:
            self.check_permits()
            await asyncio.sleep(min(left, 0.37))

    @staticmethod
    def _break(lane: FakeLane, outage: Outage) -> None:
        lane.applies_unconfirmed = outage.applies_unconfirmed
        lane.fail(outage.failure)


class SimulatedFetch:
    """The answer of a run is there as long after the first question as its call took."""

    def __init__(self, simulation: Simulation, running: Running, until: float, *, is_last: bool) -> None:
        self._simulation = simulation
        self._running = running
        self._until = until
        self._is_last = is_last

    async def run(self) -> FlowOutcome | Running:
        request_id = self._running.run_id or ""
        self._simulation.check(request_id in self._simulation.may_have_run, "no answer is fetched of what never ran")
        takes_s = self._simulation.sent[request_id].takes_s
        await asyncio.sleep(max(0.0, min(takes_s, self._until - now())))
        if now() >= self._until:
            return self.cut_short("its answer did not come in time") if self._is_last else self._running
        self._simulation.answered.add(request_id)
        return ANSWERED

    def cut_short(self, why: str) -> Indeterminate:
        return lost_sight_of(self._running, why)


class SimulatedCall:
    def __init__(self, simulation: Simulation, call: Call, sent: Sent) -> None:
        self._simulation = simulation
        self._request_id = call.request_id
        self._sent = sent
        self._started_at: float | None = None

    async def run(self) -> FlowOutcome | Running:
        simulation, request_id, sent = self._simulation, self._request_id, self._sent
        is_first = request_id not in simulation.may_have_run
        simulation.check(is_first or sent.is_idempotent, "no second call of what may have run")
        self._started_at = now()
        ending = sent.endings[min(simulation.calls[request_id], len(sent.endings) - 1)]
        simulation.calls[request_id] += 1
        try:
            await asyncio.sleep(sent.takes_s)
        except asyncio.CancelledError:
            if self._is_in_doubt():
                simulation.may_have_run.add(request_id)
            raise
        if isinstance(ending, Exception):
            if self._is_in_doubt():
                simulation.may_have_run.add(request_id)
            raise ending
        if not isinstance(ending, Unavailable | Expired):
            simulation.may_have_run.add(request_id)
        if isinstance(ending, Answered):
            simulation.answered.add(request_id)
        return replace(ending, run_id=request_id) if isinstance(ending, Running) else ending

    def cut_short(self, why: str) -> Unavailable | Indeterminate:
        if self._is_in_doubt():
            return Indeterminate(detail=why, attempts=1)
        return Unavailable(detail=why, attempts=0)

    def _is_in_doubt(self) -> bool:
        return self._started_at is not None and now() >= self._started_at + self._sent.safe_for_s


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
)
@given(schedule=schedules)
def test_whatever_happens_every_request_ends_as_the_laws_say(schedule: Schedule) -> None:
    async def simulate() -> Simulation:
        simulation = Simulation(schedule)
        await simulation.run()
        return simulation

    with structlog.testing.capture_logs() as logged:
        simulation = in_virtual_time(simulate())
    for name in {str(entry["event"]) for entry in logged}:
        event(name)
    assert not simulation.broken
    facts = simulation.pump.facts
    assert (facts.in_flight, facts.slots_free) == (0, schedule.concurrency), "all slots are given back"
    assert not any(lane.is_open or lane.buffer for lane in simulation.lanes)
    handed_out = Counter(delivery.sequence_number for lane in simulation.lanes for delivery in lane.handed_out)
    assert handed_out == Counter(observed.sequence_number for observed in simulation.observed)
    for replies in simulation.replies.values():
        assert len({reply.message_id for reply in replies}) == 1, "a repeat is the same message"
    if schedule.stop_at is None:
        assert not simulation.queue.messages
