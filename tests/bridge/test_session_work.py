"""One session after the other, and in each one request after the other, whatever becomes of locks and links."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.process import BridgeSpec
from worker.bridge.pump import Pump
from worker.core.failures import BusUnreachable
from worker.core.outcome import FlowOutcome, HeldBack, Outcome, Unavailable
from worker.core.request import Call
from worker.core.session_note import SessionNote
from worker.core.settlement import Complete, DeadLetter, Settled

from .fake_queue import ROUND_TRIP_S
from .fake_sessions import FakeSessionLane, FakeSessionQueue
from .world import ANSWERED, CALLER, INDETERMINATE, SPEC, UNAVAILABLE, Ending, World

ORDERED: BridgeSpec = replace(SPEC, redelivery=replace(SPEC.redelivery, is_in_place=True))


class Scene:
    def __init__(self, *, lanes: int = 2, lock_s: float = 60.0) -> None:
        self.world = World(ORDERED)
        self.world.bridge = replace(self.world.bridge, redeliveries=None)
        self.queue = FakeSessionQueue(lock_s=lock_s)
        self.lanes = [FakeSessionLane(self.queue) for _ in range(lanes)]
        self.observed: list[Observed] = []
        self.pump = Pump(
            sessions=self.lanes,
            bridge=self.world.bridge,
            concurrency=lanes,
            cpu_s=lambda: 0.0,
            observe=self.observed.append,
        )

    def put(self, *sessions: str, flow: str = "risky", **given: Any) -> None:
        for session in sessions:
            self.queue.put(self.world.delivery(flow, session_id=session, **given))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            pumping = tasks.create_task(self.pump.run())
            yield
            self.pump.stop()
            await asyncio.wait({pumping}, timeout=120)
            assert pumping.done()
        assert self.pump.facts.in_flight == 0
        assert self.pump.facts.slots_free == len(self.lanes)
        assert all(lane.session is None for lane in self.lanes)

    async def until_empty(self, within_s: float = 300.0) -> None:
        async with asyncio.timeout(within_s):
            while self.queue.left():
                await self.queue.changed.wait()

    def called(self) -> list[str]:
        return [call.request_id for call in self.world.flows.calls]


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_requests_of_a_session_are_called_one_after_the_other() -> None:
    scene = Scene()
    scene.put("a", "a", "a")
    async with scene.at_work():
        await scene.until_empty()
    assert scene.called() == ["m-1", "m-2", "m-3"]
    assert [settlement for _, settlement in scene.queue.ended] == [Complete()] * 3


async def test_sessions_are_worked_on_at_once() -> None:
    scene = Scene()
    scene.put("a", "b")
    scene.world.flows.takes_s = 10.0
    started = now()
    async with scene.at_work():
        await scene.until_empty()
    assert now() - started < 12.0


async def test_a_session_is_kept_a_while_for_what_comes_next_and_then_handed_back() -> None:
    scene = Scene()
    scene.put("a")
    async with scene.at_work():
        await asyncio.sleep(4.0)
        scene.put("a")
        await asyncio.sleep(2.0)
        assert scene.called() == ["m-1", "m-2"]
        await asyncio.sleep(6.0)
        assert scene.queue.sessions["a"].hold is None
        assert scene.queue.sessions["a"].note is None
    assert [lane.accepted for lane in scene.lanes] in ([["a"], []], [[], ["a"]])


async def test_a_session_with_more_work_than_its_turn_makes_room_where_others_may_wait() -> None:
    scene = Scene(lanes=1)
    scene.put(*["a"] * 30, "b")
    async with scene.at_work():
        await scene.until_empty()
    assert 9 <= scene.called().index("m-31") <= 12


async def test_a_session_with_much_work_is_kept_where_nobody_waits() -> None:
    scene = Scene()
    scene.put(*["a"] * 30)
    async with scene.at_work():
        await scene.until_empty()
    assert sum(len(lane.accepted) for lane in scene.lanes) == 1


async def test_the_lock_is_renewed_for_as_long_as_a_call_takes() -> None:
    scene = Scene(lock_s=10.0)
    scene.world.flows.takes_s = 60.0
    scene.put("a")
    async with scene.at_work():
        await scene.until_empty()
    assert [observed.settled for observed in scene.observed] == [Settled.DONE]
    assert 10 < sum(lane.renewals for lane in scene.lanes) < 18


async def test_no_lock_is_renewed_for_work_that_is_shorter() -> None:
    scene = Scene(lock_s=10.0)
    scene.put("a")
    async with scene.at_work():
        await scene.until_empty()
    assert sum(lane.renewals for lane in scene.lanes) == 0


async def test_a_lost_session_cuts_the_call_and_what_comes_again_is_told_from_memory() -> None:
    scene = Scene(lock_s=10.0)
    scene.world.flows.takes_s = 30.0
    scene.put("a", **CALLER)
    async with scene.at_work():
        await asyncio.sleep(2.0)
        scene.queue.lose("a")
        await scene.until_empty()
    assert scene.called() == ["m-1"]
    [reply] = scene.world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert {observed.settlement for observed in scene.observed} == {"LeaveLocked", "Complete"}


async def test_a_link_lost_in_a_call_leaves_the_call_its_lock_and_the_answer_is_remembered() -> None:
    scene = Scene(lock_s=30.0)
    scene.world.flows.takes_s = 20.0
    scene.put("a", **CALLER)
    async with scene.at_work():
        await asyncio.sleep(1.0)
        holder = next(lane for lane in scene.lanes if lane.session is not None)
        holder.fail(BusUnreachable("gone"))
        asyncio.get_running_loop().call_later(25.0, setattr, holder, "outage", None)
        await scene.until_empty()
    assert scene.called() == ["m-1"]
    assert {reply.properties["outcome"] for reply in scene.world.replies.published} == {"answered"}
    assert len({reply.message_id for reply in scene.world.replies.published}) == 1
    assert [observed.settled for observed in scene.observed] == [Settled.FAILED, Settled.DONE]
    assert scene.observed[-1].is_recalled


async def test_a_link_that_stays_lost_in_a_call_ends_the_call_with_its_lock() -> None:
    scene = Scene(lanes=1, lock_s=10.0)
    scene.world.flows.takes_s = 60.0
    scene.put("a")
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.lanes[0].fail(BusUnreachable("gone"))
        await asyncio.sleep(10.0)
        assert len(scene.observed) == 1
        assert not scene.pump.facts.lanes_receiving
        assert scene.pump.facts.failure == "gone"
        scene.lanes[0].outage = None
        await scene.until_empty()
        assert scene.pump.facts.failure is None


async def test_a_settlement_that_was_not_confirmed_gives_the_session_up() -> None:
    scene = Scene()
    scene.put("a", "a")
    for lane in scene.lanes:
        lane.confirms, lane.applies_unconfirmed = lambda _settlement: False, True
        asyncio.get_running_loop().call_later(1.5, setattr, lane, "confirms", lambda _settlement: True)
    async with scene.at_work():
        await scene.until_empty()
    assert scene.called() == ["m-1", "m-2"]
    assert [observed.settled for observed in scene.observed] == [Settled.FAILED, Settled.DONE]


async def test_what_cannot_be_noted_is_not_called_and_is_told_of_once() -> None:
    scene = Scene(lanes=1)
    scene.put("a")
    lane = scene.lanes[0]
    async with scene.at_work():
        await asyncio.sleep(lane.opening_s + 2.5 * ROUND_TRIP_S)
        assert lane.calls[-1] == "begin"
        lane.fail(BusUnreachable("gone"), is_noticed=True)
        await asyncio.sleep(1.0)
        assert scene.called() == []
        assert [(observed.settlement, observed.settled) for observed in scene.observed] == [
            ("LeaveLocked", Settled.LOCK_LOST)
        ]
        lane.recover()
        await scene.until_empty()
    assert scene.called() == ["m-1"]


async def test_what_another_holder_began_counts_as_delivered_before() -> None:
    scene = Scene()
    scene.put("a", flow="wary", **CALLER)
    scene.queue.sessions["a"].note = SessionNote(sequence_number=1, times=1)
    async with scene.at_work():
        await scene.until_empty()
    assert not scene.world.flows.calls
    [reply] = scene.world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_what_was_begun_too_often_is_left_to_the_broker_and_the_session_goes_on() -> None:
    scene = Scene()
    scene.put("a", "a")
    scene.queue.sessions["a"].note = SessionNote(sequence_number=1, times=10)
    async with scene.at_work():
        await scene.until_empty()
    assert scene.called() == ["m-2"]
    assert [settlement for _, settlement in scene.queue.ended] == [None, Complete()]


async def test_a_one_way_request_is_tried_again_in_place_and_then_dead_lettered() -> None:
    scene = Scene()

    def ending(call: Call) -> Ending:
        return UNAVAILABLE if call.request_id == "m-1" else ANSWERED

    scene.world.flows.ending = ending
    scene.put("a", "a")
    started = now()
    async with scene.at_work():
        await scene.until_empty()
    assert scene.called() == ["m-1", "m-1", "m-1", "m-2"]
    assert [call.retry.attempts for call in scene.world.flows.calls] == [4, 1, 1, 4]
    assert 35.0 <= now() - started <= 45.0
    (_, dead), _ = scene.queue.ended
    assert isinstance(dead, DeadLetter)
    assert "redelivery_s" in dead.description or "tries are spent" in dead.description


async def test_an_idempotent_flow_is_called_again_in_place_where_it_may_have_run() -> None:
    scene = Scene()
    endings: list[FlowOutcome] = [INDETERMINATE, ANSWERED]
    scene.world.flows.ending = lambda _call: endings.pop(0)
    scene.put("a", flow="safe")
    async with scene.at_work():
        await scene.until_empty()
    assert [observed.outcome for observed in scene.observed] == [Outcome.ANSWERED]


async def test_a_caller_is_not_kept_waiting_for_another_try() -> None:
    scene = Scene()
    scene.world.flows.ending = UNAVAILABLE
    scene.put("a", **CALLER)
    async with scene.at_work():
        await scene.until_empty()
    assert scene.called() == ["m-1"]
    [reply] = scene.world.replies.published
    assert reply.properties["outcome"] == "unavailable"


async def test_a_stop_between_two_tries_hands_the_session_back_at_no_delivery_count() -> None:
    scene = Scene()
    scene.world.flows.ending = UNAVAILABLE
    scene.put("a")
    started = now()
    async with scene.at_work():
        await asyncio.sleep(3.0)
    assert now() - started < 5.0
    [left] = scene.queue.left()["a"]
    assert left.delivery_count == 0
    assert scene.queue.sessions["a"].note is None


async def test_a_stop_hands_back_what_waits_for_its_flow() -> None:
    scene = Scene()
    scene.world.flows.takes_s = scene.world.flows.safe_for_s = 50.0
    scene.put("a", **CALLER)
    started = now()
    async with scene.at_work():
        await asyncio.sleep(3.0)
    assert now() - started < 5.0
    assert [left.delivery_count for left in scene.queue.left()["a"]] == [0]
    assert not scene.world.replies.published


async def test_a_stop_finishes_the_call_that_has_begun_and_no_other() -> None:
    scene = Scene()
    scene.world.flows.takes_s = 5.0
    scene.put("a", "a")
    async with scene.at_work():
        await asyncio.sleep(3.0)
    assert scene.called() == ["m-1"]
    assert [left.message_id for left in scene.queue.left()["a"]] == ["m-2"]


async def test_a_stop_of_idle_lanes_takes_no_time() -> None:
    scene = Scene(lanes=20)
    async with scene.at_work():
        await asyncio.sleep(10.0)
        stopped_at = now()
    assert now() - stopped_at < 0.2


async def test_a_drain_over_answers_what_still_runs() -> None:
    scene = Scene()
    scene.world.flows.takes_s = 500.0
    scene.put("a", **CALLER)
    async with scene.at_work():
        await asyncio.sleep(3.0)
        asyncio.get_running_loop().call_later(5.0, scene.pump.cut, CutReason.DRAIN_OVER)
    [reply] = scene.world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert not scene.queue.left()


async def test_a_paused_intake_takes_no_session_and_keeps_none() -> None:
    scene = Scene()
    scene.put("a")
    async with scene.at_work():
        await asyncio.sleep(1.0)
        scene.pump.pause(is_paused=True)
        await asyncio.sleep(1.0)
        scene.put("a", "b")
        await asyncio.sleep(20.0)
        assert scene.called() == ["m-1"]
        assert not scene.pump.facts.lanes_receiving
        scene.pump.pause(is_paused=False)
        await scene.until_empty()
    assert sorted(scene.called()) == ["m-1", "m-2", "m-3"]


async def test_a_broker_that_is_away_is_asked_again_by_few_and_found_at_once() -> None:
    scene = Scene(lanes=30)
    for lane in scene.lanes:
        lane.fail(BusUnreachable("away"))
    async with scene.at_work():
        await asyncio.sleep(60.0)
        assert scene.pump.facts.failure == "away"
        for lane in scene.lanes:
            lane.outage = None
        scene.put("a")
        back_at = now()
        await scene.until_empty()
        assert now() - back_at < 4.5  # with the second that a call takes
        assert scene.pump.facts.lanes_receiving > 0


async def test_held_back_by_an_open_circuit_a_request_waits_in_place_at_no_try() -> None:
    scene = Scene()
    is_open = Unavailable(detail="open", attempts=0, retry_after_s=3.0, held_back=HeldBack.CIRCUIT)
    endings: list[FlowOutcome] = [is_open, is_open, is_open, is_open, ANSWERED]
    scene.world.flows.ending = lambda _call: endings.pop(0)
    scene.put("a")
    async with scene.at_work():
        await scene.until_empty()
    assert [observed.outcome for observed in scene.observed] == [Outcome.ANSWERED]
    assert [call.retry.attempts for call in scene.world.flows.calls] == [4] * 5
