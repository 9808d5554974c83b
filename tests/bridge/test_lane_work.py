"""A lane's task against a queue in memory: permits, stop, failure and reopening, locks, settlements."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.slots import Slots
from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.outcome import Outcome
from worker.core.settlement import Complete, DeadLetter, LeaveLocked, Settled

from . import fake_queue
from .fake_queue import FakeLane, FakeQueue
from .world import ANSWERED, CALLER, REFUSED, World


class Scene:
    """One lane at work on a queue."""

    def __init__(self, world: World, *, slots: int = 4, window: int = 1, **queue: Any) -> None:
        self.world = world
        self.queue = FakeQueue(**queue)
        self.lane = FakeLane(self.queue, window=window)
        self.slots = Slots(slots)
        self.observed: list[Observed] = []
        self.lane_work = LaneWork(self.lane, bridge=world.bridge, slots=self.slots, observe=self.observed.append)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Stops the lane at the end, and waits for it."""
        async with asyncio.TaskGroup() as tasks:
            self.running = tasks.create_task(self.lane_work.run())
            yield
            self.lane_work.stop()
        assert not self.lane.is_open
        assert not self.lane.buffer
        assert self.lane_work.facts.in_flight == 0
        assert self.slots.free == self.slots.total

    def put(self, number: int = 1, *, flow: str = "risky", **given: Any) -> None:
        for _ in range(number):
            self.queue.put(self.world.delivery(flow, **given))

    def ended(self) -> list[str]:
        return [type(settlement).__name__ for _, settlement in self.queue.ended]


async def test_what_arrives_is_worked_on_and_settled(world: World) -> None:
    scene = Scene(world)
    scene.put(20, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(30.0)
    assert scene.ended() == ["Complete"] * 20
    assert len(world.replies.published) == 20
    assert [observed.settled for observed in scene.observed] == [Settled.DONE] * 20


@pytest.mark.parametrize("window", [1, 2, 3])
async def test_no_more_is_locked_than_there_are_slots(world: World, window: int) -> None:
    world.flows.takes_s = 10.0
    scene = Scene(world, slots=3, window=window)
    scene.put(9)
    async with scene.at_work():
        for _ in range(70):
            await asyncio.sleep(1.0)
            assert scene.queue.count_locked() <= 3
            assert scene.lane_work.facts.in_flight <= 3
            assert 3 - scene.slots.free == scene.lane_work.facts.in_flight + scene.lane.credit
    assert scene.ended() == ["Complete"] * 9


async def test_requests_are_worked_on_at_once_as_far_as_slots_go(world: World) -> None:
    world.flows.takes_s = 10.0
    scene = Scene(world, slots=5)
    scene.put(5)
    async with scene.at_work():
        await asyncio.sleep(11.0)
        assert scene.ended() == ["Complete"] * 5


async def test_an_idle_lane_asks_about_twice_a_second(world: World) -> None:
    scene = Scene(world)
    async with scene.at_work():
        await asyncio.sleep(60.0)
    assert 100 <= len(scene.lane.calls) <= 130


async def test_a_lane_without_a_slot_leaves_the_queue_alone(world: World) -> None:
    scene = Scene(world, slots=1, lock_s=60.0)
    world.flows.takes_s = 50.0
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        calls = len(scene.lane.calls)
        await asyncio.sleep(46.0)
        assert scene.lane.calls[calls:] == ["renew_lock"]


async def test_a_slot_that_comes_free_elsewhere_wakes_the_lane(world: World) -> None:
    scene = Scene(world, slots=1)
    scene.slots.take(1, asyncio.Event())
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(100.0)
        assert scene.lane.count("receive") == 0
        scene.slots.give_back(1)
        await asyncio.sleep(2.0)
        assert scene.ended() == ["Complete"]


@pytest.mark.parametrize("window", [1, 2])
async def test_a_stop_finishes_what_is_in_flight_and_takes_nothing_new(world: World, window: int) -> None:
    """What the lane had asked for goes back to the queue: it opens a new link, and asks for nothing."""
    world.flows.takes_s = 40.0
    scene = Scene(world, window=window)
    scene.put(2, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane_work.stop()
        await asyncio.sleep(1.0)
        scene.put(1)
        assert not scene.lane_work.facts.is_receiving
    assert len(world.flows.calls) == 2
    assert scene.ended() == ["Complete"] * 2
    [left] = scene.queue.messages
    assert left.lock_token is None
    assert left.delivery.delivery_count == 0


async def test_what_a_paused_lane_had_asked_for_goes_back(world: World) -> None:
    scene = Scene(world, window=2)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane_work.pause(is_paused=True)
        await asyncio.sleep(1.0)
        scene.put(3)
        await asyncio.sleep(5.0)
        assert scene.queue.count_locked() == 0
        assert scene.slots.free == scene.slots.total
        scene.lane_work.pause(is_paused=False)
        await asyncio.sleep(5.0)
        assert scene.ended() == ["Complete"] * 3


async def test_a_resting_lane_finishes_closes_its_link_and_opens_it_again(world: World) -> None:
    world.flows.takes_s = 10.0
    scene = Scene(world, window=2)
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane_work.rest(is_resting=True)
        await asyncio.sleep(1.0)
        assert scene.lane.is_open
        assert scene.lane.credit == 0
        assert not scene.lane_work.facts.is_receiving
        assert not scene.lane_work.facts.is_on_duty
        await asyncio.sleep(15.0)
        assert scene.ended() == ["Complete"]
        assert not scene.lane.is_open
        assert scene.slots.free == scene.slots.total
        scene.put(1)
        await asyncio.sleep(15.0)
        assert scene.queue.messages, "nobody receives"
        scene.lane_work.rest(is_resting=False)
        await asyncio.sleep(15.0)
        assert scene.ended() == ["Complete"] * 2


async def test_a_resting_lane_stops_at_once(world: World) -> None:
    scene = Scene(world)
    scene.lane_work.rest(is_resting=True)
    loop = asyncio.get_running_loop()
    async with scene.at_work():
        await asyncio.sleep(10.0)
        assert scene.lane.count("open") == 0
        stopped_at = loop.time()
    assert loop.time() - stopped_at < 0.1


async def test_a_lane_tells_how_busy_it_is(world: World) -> None:
    world.flows.takes_s = 10.0
    scene = Scene(world)
    assert scene.lane_work.take_busy_share() is None
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane_work.take_busy_share()
        await asyncio.sleep(10.0)
        assert scene.lane_work.take_busy_share() == pytest.approx(0.0, abs=0.01)
        scene.world.flows.takes_s = 0.0
        scene.put(300)
        await asyncio.sleep(1.0)
        assert scene.lane_work.take_busy_share() == pytest.approx(0.5, abs=0.1), (
            "a round trip each, to receive and to settle"
        )


async def test_a_stop_of_an_idle_lane_takes_half_a_second_at_most(world: World) -> None:
    scene = Scene(world)
    loop = asyncio.get_running_loop()
    async with scene.at_work():
        await asyncio.sleep(10.0)
        stopped_at = loop.time()
    assert loop.time() - stopped_at < 0.6


async def test_a_cut_reaches_also_what_a_receive_under_way_brings(world: World) -> None:
    world.flows.takes_s = 100.0
    scene = Scene(world)
    async with scene.at_work():
        await asyncio.sleep(10.1)
        scene.lane_work.stop()
        scene.put(1, flow="safe")
    assert not world.flows.calls
    assert len(world.redeliveries.scheduled) == 1
    assert not scene.queue.messages


async def test_a_lane_that_fails_opens_again_and_settles_what_was_in_flight(
    world: World, logged: list[MutableMapping[str, Any]]
) -> None:
    world.flows.takes_s = 5.0
    scene = Scene(world)
    scene.put(3, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane.fail(BusUnreachable("The connection was reset."))
        await asyncio.sleep(9.0)
        assert not scene.lane_work.facts.is_receiving
        assert scene.lane_work.facts.failure == "The connection was reset."
        assert scene.lane_work.facts.in_flight == 3
        scene.lane.recover()
        await asyncio.sleep(3.0)
        assert scene.lane_work.facts.is_receiving
        assert scene.lane_work.facts.failure is None
        assert scene.ended() == ["Complete"] * 3
    assert len(world.replies.published) == 3
    assert len(world.flows.calls) == 3
    assert [entry["event"] for entry in logged] == ["lane_failed", "lane_recovered"]


@pytest.mark.parametrize(
    ("failure", "least", "most"),
    [(BusUnreachable("The connection was refused."), 40, 130), (Misconfigured("No queue 'flow-requests'."), 8, 30)],
)
async def test_a_lane_that_stays_broken_tries_again_with_pauses(
    world: World, failure: BusFailure, least: int, most: int
) -> None:
    world.flows.takes_s = 1.0
    scene = Scene(world)
    scene.put(4)
    async with scene.at_work():
        await asyncio.sleep(0.5)
        scene.lane.fail(failure)
        opened = scene.lane.count("open")
        await asyncio.sleep(120.0)
        assert least <= scene.lane.count("open") - opened <= most
        assert scene.lane_work.facts.in_flight == 0, "every lock has ended by now"
        assert [observed.settled for observed in scene.observed] == [Settled.LOCK_LOST] * 4
        scene.lane.recover()


async def test_a_broken_lane_gives_its_permits_to_others(world: World) -> None:
    scene = Scene(world, slots=1)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        assert scene.slots.free == 0
        scene.lane.fail(BusUnreachable("The connection was reset."))
        await asyncio.sleep(1.0)
        assert scene.slots.free == 1
        scene.lane.recover()


async def test_a_stop_while_the_lane_is_broken_waits_for_what_is_in_flight_alone(world: World) -> None:
    world.flows.takes_s = 5.0
    scene = Scene(world)
    loop = asyncio.get_running_loop()
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lane.fail(Misconfigured("The queue is disabled."))
        await asyncio.sleep(1.0)
        scene.lane_work.stop()
        await scene.running
        assert loop.time() == pytest.approx(1060.0, abs=1.0), "its lock has ended"
    assert scene.observed[0].settled is Settled.LOCK_LOST
    assert scene.observed[0].is_replied


async def test_a_lock_is_renewed_before_half_of_it_is_over_until_the_work_has_ended(world: World) -> None:
    world.flows.takes_s = 100.0
    scene = Scene(world, lock_s=30.0)
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(101.0)
        assert scene.ended() == ["Complete"]
    assert 6 <= scene.lane.count("renew_lock") <= 8, "each after 40 to 50 % of a lock"


async def test_a_lock_that_cannot_be_renewed_cuts_the_work(world: World) -> None:
    world.flows.takes_s = 100.0
    scene = Scene(world, lock_s=30.0, max_delivery_count=1)
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(5.0)
        scene.queue.lose_lock(1)
        await asyncio.sleep(12.0)
        assert scene.lane_work.facts.in_flight == 0
    [observed] = scene.observed
    assert observed.settlement == LeaveLocked.__name__
    assert observed.outcome is None
    assert not world.replies.published


async def test_a_lock_that_ends_while_the_lane_is_broken_cuts_the_work_in_time(world: World) -> None:
    """Also while an attempt to open the lane takes longer than the lock lives."""
    world.flows.takes_s = 100.0
    scene = Scene(world, lock_s=30.0, max_delivery_count=1)
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(5.0)
        scene.lane.opening_s = 300.0
        scene.lane.fail(BusUnreachable("No route to host."))
        await asyncio.sleep(26.0)
        assert scene.lane_work.facts.in_flight == 1, "nobody could say it yet"
        assert world.recall.look_up(scene.lane.handed_out[0], now=1031.0) is not None
        scene.lane.recover()
        await asyncio.sleep(300.0)
    [observed] = scene.observed
    assert observed.settlement == LeaveLocked.__name__
    assert observed.call_s < 31.0


async def test_a_request_whose_lock_was_lost_comes_back_and_is_answered_from_memory(world: World) -> None:
    world.flows.takes_s = 20.0
    scene = Scene(world, lock_s=30.0)
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
        scene.queue.lose_lock(1)
        await asyncio.sleep(60.0)
    assert scene.ended() == ["Complete"]
    assert len(world.flows.calls) == 1
    assert {reply.properties["outcome"] for reply in world.replies.published} <= {"answered", "indeterminate"}
    assert len({reply.message_id for reply in world.replies.published}) == 1


async def test_memory_outlives_a_message_that_is_left_locked(world: World) -> None:
    world.flows.takes_s = 100.0
    scene = Scene(world, lock_s=30.0, max_delivery_count=1)
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(5.0)
        scene.queue.lose_lock(1)
        await asyncio.sleep(20.0)
        assert world.recall.look_up(scene.lane.handed_out[0], now=1025.0) is not None


async def test_memory_outlives_a_message_abandoned_after_a_defect_in_the_call(world: World) -> None:
    world.flows.ending = ZeroDivisionError("ours")
    scene = Scene(world)
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(60.0)
    assert scene.ended() == ["Complete"]
    assert len(world.flows.calls) == 1
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_memory_ends_with_a_confirmed_settlement(world: World) -> None:
    scene = Scene(world)
    scene.put(3, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
    assert len(world.recall) == 0


async def test_a_settlement_that_is_not_confirmed_is_said_again_until_it_is(world: World) -> None:
    scene = Scene(world)
    doubts = iter([False, False, False])
    scene.lane.confirms = lambda _settlement: next(doubts, True)
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(10.0)
    assert scene.ended() == ["Complete"]
    assert scene.lane.count("settle") == 4
    [observed] = scene.observed
    assert observed.settled is Settled.DONE


async def test_a_settlement_that_is_never_confirmed_is_said_until_the_lock_ends(world: World) -> None:
    scene = Scene(world, lock_s=20.0, max_delivery_count=1)
    scene.lane.confirms = lambda _settlement: False
    scene.queue.is_renewable = False
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(40.0)
        assert scene.lane_work.facts.in_flight == 0
    [observed] = scene.observed
    assert observed.settled is Settled.LOCK_LOST
    assert 5 <= scene.lane.count("settle") <= 25


async def test_a_settlement_applied_but_not_confirmed_counts_as_lost_and_does_no_harm(world: World) -> None:
    scene = Scene(world)
    scene.lane.applies_unconfirmed = True
    doubts = iter([False])
    scene.lane.confirms = lambda _settlement: next(doubts, True)
    scene.put(1, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
    assert scene.ended() == ["Complete"]
    assert scene.observed[0].settled is Settled.LOCK_LOST
    assert len(world.replies.published) == 1


async def test_many_settlements_go_out_a_few_at_a_time(world: World) -> None:
    scene = Scene(world, slots=100)
    scene.put(100, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
    assert scene.ended() == ["Complete"] * 100
    assert scene.lane.count("settle") >= 100 / 8


async def test_what_arrives_with_an_expired_lock_is_not_worked_on(
    world: World, logged: list[MutableMapping[str, Any]]
) -> None:
    """As it looks on a machine whose clock is ahead."""
    scene = Scene(world, lock_s=-1.0, max_delivery_count=1)
    scene.put(1)
    async with scene.at_work():
        await asyncio.sleep(1.0)
    assert not world.flows.calls
    assert [entry["event"] for entry in logged] == ["lock_expired_on_arrival"]
    assert scene.observed[0].settlement == LeaveLocked.__name__


async def test_the_end_of_a_drain_gives_back_what_can_be_called_again_and_answers_the_rest(world: World) -> None:
    world.flows.takes_s = 500.0
    scene = Scene(world)
    scene.put(1, flow="risky", **CALLER)
    scene.put(1, flow="safe", **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
        scene.lane_work.stop()
        await asyncio.sleep(20.0)
        scene.lane_work.cut(CutReason.DRAIN_OVER)
        await asyncio.sleep(1.0)
        assert scene.lane_work.facts.in_flight == 0
    assert scene.queue.ended[0][1] == Complete()
    [left] = scene.queue.messages
    assert left.delivery.delivery_count == 1
    [reply] = world.replies.published
    assert reply.properties["outcome"] == Outcome.INDETERMINATE


async def test_further_cuts_of_a_call_that_is_slow_to_end_do_no_harm(world: World) -> None:
    world.flows.takes_s, world.flows.ends_within_s = 500.0, 5.0
    scene = Scene(world, lock_s=30.0)
    scene.put(2, **CALLER)
    async with scene.at_work():
        await asyncio.sleep(10.0)
        scene.lane_work.stop()
        scene.lane_work.cut(CutReason.DRAIN_OVER)
        await asyncio.sleep(1.0)
        scene.lane_work.cut(CutReason.STOP_NOW)
        scene.queue.lose_lock(1)
    assert len(scene.observed) == 2


async def test_a_defect_of_the_lane_itself_is_not_hidden(world: World) -> None:
    scene = Scene(world)
    scene.lane.confirms = lambda _settlement: 1 / 0 > 0
    scene.put(1)
    with pytest.raises(ExceptionGroup) as caught:
        await scene.lane_work.run()
    assert caught.group_contains(ZeroDivisionError)


async def test_no_more_locks_are_held_than_can_be_renewed_at_the_brokers_speed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_queue, "ROUND_TRIP_S", 0.2)
    world.flows.takes_s = 60.0
    scene = Scene(world, slots=100, lock_s=10.0)
    scene.put(3)
    async with scene.at_work():
        await asyncio.sleep(20.0)  # renewals show how slow it is
        scene.put(50)
        await asyncio.sleep(20.0)
        assert 5 < scene.lane_work.facts.in_flight < 20
        await asyncio.sleep(2000.0)
    assert [observed.settled for observed in scene.observed] == [Settled.DONE] * 53


async def test_a_settlement_that_is_never_confirmed_keeps_no_other_waiting(world: World) -> None:
    scene = Scene(world, lock_s=60.0)
    scene.lane.confirms = lambda settlement: not isinstance(settlement, DeadLetter)
    world.flows.ending = lambda call: REFUSED if call.request_id == "m-1" else ANSWERED
    async with scene.at_work():
        scene.put(1)  # refused, so that it is to be dead-lettered
        for _ in range(20):
            scene.put(1)
            await asyncio.sleep(2.0)
        assert scene.ended() == ["Complete"] * 20
        assert scene.lane.calls.count("settle") < 20 + 20, "it is said again less and less often"
        scene.lane.confirms = lambda _settlement: True
        await asyncio.sleep(10.0)
    assert scene.ended() == ["Complete"] * 20 + ["DeadLetter"]
