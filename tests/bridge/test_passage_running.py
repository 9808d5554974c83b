"""A run that goes on: its address travels in a copy, and nobody calls the flow a second time."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from worker.bridge.leash import CutReason
from worker.core.admission import AdmissionSpec
from worker.core.outcome import Indeterminate, Reason
from worker.core.redelivery import Copy
from worker.core.reply import Undelivered
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked

from .virtual_time import STARTS_AT
from .world import ANSWERED, CALLER, INDETERMINATE, RUNNING, SPEC, World


@pytest.fixture
def world() -> World:
    world = World()
    world.flows.ending = RUNNING
    return world


async def handed_over(world: World, **given: Any) -> Copy:
    delivery = world.delivery(**given)
    assert await world.passage(delivery).process() == Complete()
    [copy] = world.redeliveries.scheduled
    return copy


async def test_a_run_that_goes_on_is_handed_over_before_its_answer_is_asked_for(world: World) -> None:
    delivery = world.delivery(correlation_id="c-1", subject="s", **CALLER)
    passage = world.passage(delivery)
    assert await passage.process() == Complete()
    [copy] = world.redeliveries.scheduled
    assert not world.flows.fetches
    assert not world.replies.published
    assert copy.message_id != delivery.message_id
    assert copy.properties["request-id"] == delivery.message_id
    assert copy.properties["answer-location"] == RUNNING.location
    assert copy.properties["flow"] == "risky", "every other property is kept"
    assert copy.delay_s == 1.0
    assert passage.copying.copy_in_s is not None
    assert passage.outcome is None


async def test_whoever_gets_the_copy_fetches_the_answer_and_calls_nothing(world: World) -> None:
    copy = await handed_over(world, correlation_id="c-1", **CALLER)
    other = World()
    assert await other.passage(world.received(copy)).process() == Complete()
    [reply] = other.replies.published
    assert not other.flows.calls
    assert reply.correlation_id == copy.original.message_id
    assert reply.properties["request-id"] == copy.original.message_id
    assert reply.properties["conversation-id"] == "c-1"
    assert reply.properties["outcome"] == "answered"
    assert isinstance(reply.properties["elapsed-ms"], int)
    assert reply.properties["elapsed-ms"] >= 2000, "from the first message's enqueued time"


async def test_the_reply_is_the_same_message_whoever_sends_it(world: World) -> None:
    delivery = world.delivery(**CALLER)
    await world.passage(delivery).process()
    [copy] = world.redeliveries.scheduled
    world.flows.ending = ANSWERED
    ids = []
    for each in (world.received(copy), replace(delivery, sequence_number=99)):
        await world.passage(each).process()
        ids.append(world.replies.published[-1].message_id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize("flow", ["risky", "wary"])
async def test_a_copy_redelivered_after_a_crash_is_fetched_again_whatever_after_crash_says(
    world: World, flow: str
) -> None:
    copy = await handed_over(world, flow=flow, **CALLER)
    other = World()
    await other.passage(replace(world.received(copy), delivery_count=3)).process()
    [reply] = other.replies.published
    assert reply.properties["outcome"] == "answered"
    assert len(other.flows.fetches) == 1
    assert not other.flows.calls


async def test_the_deadline_of_the_first_message_is_the_copys_too(world: World) -> None:
    copy = await handed_over(world, time_to_live_s=10.0, **CALLER)
    other = World()
    other.flows.answer_takes_s = 60.0
    passage = other.passage(world.received(copy))
    await passage.process()
    assert passage.deadline == pytest.approx(STARTS_AT - 2.0 + 10.0)
    assert asyncio.get_running_loop().time() < STARTS_AT + 8.0
    [reply] = other.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert reply.properties["run-id"] == "run-3"


async def test_a_copy_whose_caller_has_gone_is_still_answered_and_says_that_the_flow_ran(world: World) -> None:
    copy = await handed_over(world, time_to_live_s=10.0, **CALLER)
    assert copy.time_to_live_s is not None
    assert copy.time_to_live_s > 60.0, "the broker doesn't drop it before a worker has seen it"
    await asyncio.sleep(30.0)
    passage = world.passage(world.received(copy))
    await passage.process()
    assert isinstance(passage.outcome, Indeterminate)


async def test_an_answer_that_is_due_after_the_deadline_is_asked_for_just_before_it(world: World) -> None:
    world.flows.ending = replace(RUNNING, retry_after_s=3600.0)
    await world.passage(world.delivery(**CALLER)).process()
    assert not world.redeliveries.scheduled, "a copy would come too late"
    assert len(world.flows.fetches) == 1


@pytest.mark.parametrize("undelivered", [Undelivered(detail="the queue is full")])
async def test_where_the_copy_is_not_taken_the_answer_is_fetched_in_place(
    world: World, undelivered: Undelivered
) -> None:
    world.redeliveries.says = undelivered
    assert await world.passage(world.delivery(**CALLER)).process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"
    assert len(world.flows.calls) == len(world.flows.fetches) == 1


async def test_an_idempotent_flow_is_spared_the_way_over_the_queue(world: World) -> None:
    assert await world.passage(world.delivery("safe", **CALLER)).process() == Complete()
    assert not world.redeliveries.scheduled
    assert len(world.flows.fetches) == 1


async def test_a_lock_lost_while_handing_over_hands_over_again_under_the_same_id(world: World) -> None:
    world.redeliveries.takes_s = 20.0
    delivery = world.delivery(**CALLER)
    passage = world.passage(delivery)
    asyncio.get_running_loop().call_later(5.0, passage.leash.cut, CutReason.LOCK_LOST)
    assert await passage.process() == LeaveLocked()
    again = replace(delivery, delivery_count=1, lock_token="next")
    assert await world.passage(again).process() == Complete()
    assert len({copy.message_id for copy in world.redeliveries.scheduled}) == 1
    assert len(world.flows.calls) == 1


async def test_what_was_handed_over_in_vain_is_only_completed_again(world: World) -> None:
    delivery = world.delivery(**CALLER)
    await world.passage(delivery).process()
    assert await world.passage(replace(delivery, delivery_count=1)).process() == Complete()
    assert len(world.redeliveries.scheduled) == 1
    assert len(world.flows.calls) == 1


async def test_a_drain_does_not_cut_the_handing_over(world: World) -> None:
    world.redeliveries.takes_s = 5.0
    passage = world.passage(world.delivery(**CALLER))
    asyncio.get_running_loop().call_later(3.0, passage.leash.cut, CutReason.DRAIN_OVER)
    assert await passage.process() == Complete()
    assert len(world.redeliveries.scheduled) == 1


@pytest.mark.parametrize(
    ("reason", "settlement"), [(CutReason.DRAIN_OVER, Abandon()), (CutReason.LOCK_LOST, LeaveLocked())]
)
async def test_a_copy_that_cannot_be_followed_any_longer_is_left_to_another_worker(
    world: World, reason: CutReason, settlement: Abandon | LeaveLocked
) -> None:
    copy = await handed_over(world, **CALLER)
    world.flows.answer_takes_s = 60.0
    passage = world.passage(world.received(copy))
    asyncio.get_running_loop().call_later(3.0, passage.leash.cut, reason)
    assert await passage.process() == settlement
    assert not world.replies.published


async def test_an_answer_that_was_fetched_is_remembered(world: World) -> None:
    """The address may answer only once."""
    copy = await handed_over(world, **CALLER)
    delivery = world.received(copy)
    world.replies.takes_s = 20.0
    passage = world.passage(delivery)
    asyncio.get_running_loop().call_later(5.0, passage.leash.cut, CutReason.LOCK_LOST)
    assert await passage.process() == LeaveLocked()
    world.replies.takes_s = 0.0
    await world.passage(replace(delivery, delivery_count=1)).process()
    assert len(world.flows.fetches) == 1
    assert len(world.replies.published) == 1


async def test_a_one_way_request_is_handed_over_too_and_its_answer_is_not_asked_for_for_ever(world: World) -> None:
    copy = await handed_over(world)
    other = World()
    other.flows.answer_takes_s = 10_000.0
    settlement = await other.passage(world.received(copy)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE
    assert "run-3" in settlement.description
    assert asyncio.get_running_loop().time() <= STARTS_AT + 115.0
    assert not other.flows.calls


async def test_a_flow_that_is_gone_from_the_settings_leaves_the_run_in_doubt(world: World) -> None:
    copy = await handed_over(world, **CALLER)
    stranger = replace(world.received(copy), properties={**copy.properties, "answer-flow": "gone"})
    passage = world.passage(stranger)
    await passage.process()
    assert isinstance(passage.outcome, Indeterminate)
    assert "gone" in passage.outcome.detail


async def test_a_run_that_goes_on_is_seen_to_its_end_although_its_event_would_be_refused_now(world: World) -> None:
    event = {"body": b'{"MessageName": "Update", "Stage": 40, "Depth": 2}', "content_type": "application/json"}
    copy = await handed_over(world, **event, **CALLER)
    stricter = World(replace(SPEC, admission=AdmissionSpec(max_depth=1, organizations=("contoso",))))
    assert await stricter.passage(stricter.received(copy)).process() == Complete()
    [reply] = stricter.replies.published
    assert reply.properties["outcome"] == "answered"


async def test_an_answer_address_that_no_worker_wrote_is_just_a_property(world: World) -> None:
    world.flows.ending = ANSWERED
    await world.passage(
        world.delivery(properties={"answer-location": "https://evil/", "answer-flow": "risky"})
    ).process()
    assert not world.flows.fetches
    assert len(world.flows.calls) == 1


async def test_a_signed_address_is_shown_nowhere(world: World) -> None:
    copy = await handed_over(world, **CALLER)
    delivery = world.received(copy)
    assert "secret" not in repr(delivery)
    assert "secret" not in repr(RUNNING)
    world.flows.answer = INDETERMINATE
    passage = world.passage(delivery)
    await passage.process()
    assert passage.request is not None
    assert "secret" not in repr((passage.request, passage.outcome, copy))
    assert b"secret" not in world.replies.published[-1].body


async def test_a_copy_finds_no_place_and_waits_for_its_turn(world: World) -> None:
    copy = await handed_over(world, **CALLER)
    crowded = World(slots=1)
    crowded.bulkhead.enter("risky", STARTS_AT)
    passage = crowded.passage(world.received(copy))
    assert await passage.process() == Complete()
    [again] = crowded.redeliveries.scheduled
    assert again.delay_s >= 1.0
    assert again.properties["answer-location"] == RUNNING.location
    assert again.message_id != copy.message_id
    assert passage.deadline == pytest.approx(STARTS_AT - 2.0 + 110.0)
    crowded.bulkhead.leave("risky", STARTS_AT, held_s=1.0)
    await crowded.passage(crowded.received(again)).process()
    assert crowded.replies.published[-1].properties["outcome"] == "answered"


async def test_a_copy_that_has_asked_as_long_as_an_attempt_may_take_gives_its_slot_up(world: World) -> None:
    copy = await handed_over(world, properties={"timeout-s": 3600}, **CALLER)
    other = World()
    other.flows.answer_takes_s = 1800.0
    assert await other.passage(other.received(copy)).process() == Complete()
    assert asyncio.get_running_loop().time() == pytest.approx(STARTS_AT + 1.0 + 110.0)
    [again] = other.redeliveries.scheduled
    assert again.delay_s == 15.0
    assert again.properties["answer-location"] == RUNNING.location


async def test_a_copy_without_a_place_and_without_time_to_wait_for_one_is_fetched_all_the_same(world: World) -> None:
    copy = await handed_over(world, properties={"timeout-s": 10}, **CALLER)
    crowded = World(slots=1)
    crowded.bulkhead.enter("risky", STARTS_AT)
    await asyncio.sleep(4.0)
    await crowded.passage(crowded.received(copy)).process()
    assert crowded.replies.published[-1].properties["outcome"] == "answered"


async def test_a_defect_while_fetching_is_not_told_as_if_the_flow_had_not_run(world: World) -> None:
    copy = await handed_over(world, **CALLER)
    passage = world.passage(replace(world.received(copy), delivery_count=2))
    world.bridge.places.enter = None  # type: ignore[assignment, method-assign]  # ours, before anything is fetched
    with pytest.raises(TypeError):
        await passage.process()
    await passage.answer_after_defect()
    assert world.replies.published[-1].properties["outcome"] == "indeterminate"


async def test_a_worker_told_to_stop_while_handing_over_a_one_way_request_keeps_the_run_in_its_dead_letter(
    world: World,
) -> None:
    world.redeliveries.takes_s = 20.0
    passage = world.passage(world.delivery())
    asyncio.get_running_loop().call_later(3.0, passage.leash.cut, CutReason.STOP_NOW)
    settlement = await passage.process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE
    assert "run-3" in settlement.description
