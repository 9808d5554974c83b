"""Several lanes under one bound."""

import asyncio

from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.pump import Pump
from worker.core.failures import BusUnreachable
from worker.core.settlement import Complete

from .fake_queue import FakeLane, FakeQueue
from .world import CALLER, World


async def test_lanes_share_the_slots_and_tell_what_they_do(world: World) -> None:
    queue = FakeQueue()
    lanes = [FakeLane(queue) for _ in range(3)]
    observed: list[Observed] = []
    world.flows.takes_s = 10.0
    pump = Pump(lanes, least=3, bridge=world.bridge, concurrency=5, cpu_s=lambda: 0.0, observe=observed.append)
    queue.put(*(world.delivery(**CALLER) for _ in range(12)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump.run())
        await asyncio.sleep(5.0)
        assert queue.count_locked() == 5
        assert (pump.facts.lanes, pump.facts.lanes_receiving, pump.facts.in_flight) == (3, 3, 5)
        assert (pump.facts.slots_free, pump.facts.is_stopping, pump.facts.failure) == (0, False, None)
        await asyncio.sleep(40.0)
        lanes[1].fail(BusUnreachable("The connection was reset."))
        await asyncio.sleep(1.0)
        assert pump.facts.lanes_receiving == 2
        assert pump.facts.failure == "The connection was reset."
        lanes[1].recover()
        await asyncio.sleep(5.0)
        assert pump.facts.lanes_receiving == 3
        pump.stop()
        assert pump.facts.is_stopping
    assert [settlement for _, settlement in queue.ended] == [Complete()] * 12
    assert (pump.facts.in_flight, pump.facts.slots_free, pump.facts.lanes_receiving) == (0, 5, 0)
    assert len(observed) == 12


async def test_a_slot_freed_by_one_lane_reaches_another_although_a_third_that_waits_is_broken(world: World) -> None:
    first, second = FakeQueue(), FakeQueue()
    lanes = [FakeLane(first), FakeLane(second)]
    pump = Pump(lanes, least=2, bridge=world.bridge, concurrency=1, cpu_s=lambda: 0.0, observe=lambda _observed: None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump.run())
        await asyncio.sleep(1.0)
        [holder] = [lane for lane in lanes if lane.credit]
        [waiter] = [lane for lane in lanes if not lane.credit]
        waiter.queue.put(world.delivery())
        holder.fail(BusUnreachable("The connection was reset."))
        await asyncio.sleep(3.0)
        assert [settlement for _, settlement in waiter.queue.ended] == [Complete()]
        holder.recover()
        pump.stop()


async def test_a_cut_reaches_every_lane(world: World) -> None:
    queue = FakeQueue()
    world.flows.takes_s = 500.0
    pump = Pump(
        [FakeLane(queue), FakeLane(queue)],
        least=2,
        bridge=world.bridge,
        concurrency=4,
        cpu_s=lambda: 0.0,
        observe=lambda _observed: None,
    )
    queue.put(*(world.delivery("safe") for _ in range(4)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump.run())
        await asyncio.sleep(5.0)
        assert pump.facts.in_flight == 4
        pump.stop()
        pump.cut(CutReason.DRAIN_OVER)
    assert [message.delivery.delivery_count for message in queue.messages] == [1] * 4
