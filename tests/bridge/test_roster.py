"""How many lanes are at work, by load."""

import asyncio

from worker.bridge.pump import Pump

from .fake_queue import FakeLane, FakeQueue
from .world import World


async def test_lanes_open_under_load_and_close_one_after_the_other_when_it_is_over(world: World) -> None:
    queue = FakeQueue()
    lanes = [FakeLane(queue, window=4) for _ in range(8)]
    pump = Pump(lanes, least=2, bridge=world.bridge, concurrency=100, cpu_s=lambda: 0.0, observe=lambda _observed: None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump.run())
        await asyncio.sleep(60.0)
        assert [lane.is_open for lane in lanes] == [True] * 2 + [False] * 6
        assert (pump.facts.lanes, pump.facts.lanes_receiving) == (2, 2)
        for lane in lanes:
            lane.settling_s = 0.1
        for _ in range(30):
            queue.put(*(world.delivery() for _ in range(60)))
            await asyncio.sleep(1.0)
        assert all(lane.is_open for lane in lanes)
        assert pump.facts.lanes == 8
        await asyncio.sleep(60.0)
        assert 2 < pump.facts.lanes < 8, "one after the other: it may begin again"
        await asyncio.sleep(300.0)
        assert [lane.is_open for lane in lanes] == [True] * 2 + [False] * 6
        assert not queue.messages
        pump.stop()
