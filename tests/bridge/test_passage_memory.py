"""Idempotent Receiver: a delivery that comes back to the worker which could not settle it."""

import asyncio
from dataclasses import replace

import pytest

from worker.bridge.leash import CutReason
from worker.bridge.process import Passage
from worker.bridge.slot import Slot
from worker.core.delivery import Delivery
from worker.core.outcome import Reason
from worker.core.reply import Undelivered
from worker.core.settlement import Complete, DeadLetter, LeaveLocked, Settled

from .virtual_time import STARTS_AT
from .world import ANSWERED, CALLER, EXPIRED, INDETERMINATE, UNAVAILABLE, World


def again(delivery: Delivery) -> Delivery:
    """The same one, as the broker delivers it once more."""
    count = delivery.delivery_count + 1
    return replace(delivery, delivery_count=count, lock_token=f"{delivery.lock_token}-{count}")


async def lose_lock(passage: Passage, *, after_s: float) -> None:
    asyncio.get_running_loop().call_later(after_s, passage.leash.cut, CutReason.LOCK_LOST)
    assert await passage.process() == LeaveLocked()


async def test_an_answer_whose_lock_was_lost_is_repeated_without_a_call(world: World) -> None:
    world.replies.takes_s = 20.0
    delivery = world.delivery(**CALLER)
    await lose_lock(world.passage(delivery), after_s=5.0)
    world.replies.takes_s = 0.0
    passage = world.passage(again(delivery))
    assert await passage.process() == Complete()
    [reply] = world.replies.published
    assert reply.body == ANSWERED.body.content
    assert passage.is_recalled
    assert len(world.flows.calls) == 1


async def test_a_call_cut_by_a_lost_lock_is_answered_indeterminate_and_never_made_again(world: World) -> None:
    world.flows.takes_s = 50.0
    delivery = world.delivery(**CALLER)
    await lose_lock(world.passage(delivery), after_s=5.0)
    assert await world.passage(again(delivery)).process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert len(world.flows.calls) == 1


async def test_a_call_still_under_way_elsewhere_in_this_worker_is_not_made_a_second_time(world: World) -> None:
    world.flows.takes_s = 50.0
    delivery = world.delivery()
    first = asyncio.create_task(world.passage(delivery).process())
    await asyncio.sleep(5.0)
    settlement = await world.passage(again(delivery)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE
    assert len(world.flows.calls) == 1
    await first


async def test_a_call_of_an_idempotent_flow_cut_by_a_lost_lock_is_made_again(world: World) -> None:
    world.flows.takes_s = 50.0
    delivery = world.delivery("safe", **CALLER)
    await lose_lock(world.passage(delivery), after_s=5.0)
    assert await world.passage(again(delivery)).process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"
    assert len(world.flows.calls) == 2


async def test_a_call_that_surely_did_not_run_is_made_again(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    delivery = world.delivery("wary", **CALLER)
    await lose_lock(world.passage(delivery), after_s=5.0)
    assert await world.passage(replace(delivery, lock_token="next")).process() == Complete()
    assert len(world.flows.calls) == 2


async def test_what_was_settled_in_vain_is_only_settled_again(world: World) -> None:
    delivery = world.delivery(**CALLER)
    assert await world.passage(delivery).process() == Complete()
    passage = world.passage(again(delivery))
    assert await passage.process() == Complete()
    assert passage.is_recalled
    assert len(world.replies.published) == 1
    assert len(world.flows.calls) == 1


async def test_what_was_dead_lettered_in_vain_is_only_dead_lettered_again(world: World) -> None:
    world.flows.ending = INDETERMINATE
    delivery = world.delivery()
    first = await world.passage(delivery).process()
    assert isinstance(first, DeadLetter)
    assert await world.passage(again(delivery)).process() == first
    assert len(world.flows.calls) == 1


async def test_a_copy_scheduled_before_its_original_was_lost_is_not_scheduled_again(world: World) -> None:
    world.flows.ending = UNAVAILABLE
    delivery = world.delivery()
    assert await world.passage(delivery).process() == Complete()
    assert await world.passage(again(delivery)).process() == Complete()
    assert len(world.redeliveries.scheduled) == 1
    assert len(world.flows.calls) == 1


async def test_a_copy_in_doubt_is_scheduled_again_under_the_same_id_and_nothing_is_called(world: World) -> None:
    """The broker took the copy, but the lock was lost before we heard of it: a call now would be one too many."""
    world.flows.ending, world.redeliveries.takes_s = UNAVAILABLE, 20.0
    delivery = world.delivery()
    await lose_lock(world.passage(delivery), after_s=5.0)
    assert await world.passage(again(delivery)).process() == Complete()
    assert len({copy.message_id for copy in world.redeliveries.scheduled}) == 1
    assert len(world.flows.calls) == 1


async def test_an_undelivered_answer_is_offered_again_when_its_dead_lettering_was_lost(world: World) -> None:
    world.replies.says = [Undelivered(detail="the queue was deleted")]
    delivery = world.delivery(**CALLER)
    assert isinstance(await world.passage(delivery).process(), DeadLetter)
    assert await world.passage(again(delivery)).process() == Complete()
    assert len(world.replies.published) == 1
    assert len(world.flows.calls) == 1


async def test_an_expired_request_is_not_remembered_as_a_run(world: World) -> None:
    world.flows.ending, world.replies.takes_s = EXPIRED, 20.0
    delivery = world.delivery(**CALLER)
    await lose_lock(world.passage(delivery), after_s=5.0)
    assert world.recall.look_up(delivery, now=STARTS_AT) is None


async def test_a_copy_or_a_replay_is_another_delivery(world: World) -> None:
    delivery = world.delivery()
    await world.passage(delivery).process()
    await world.passage(replace(delivery, message_id="copy-1")).process()
    await world.passage(replace(delivery, sequence_number=99, enqueued_time_ms=delivery.enqueued_time_ms + 9)).process()
    assert len(world.flows.calls) == 3


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_a_strangers_redelivery_is_called_where_after_crash_says_so(world: World, flow: str) -> None:
    assert await world.passage(world.delivery(flow, delivery_count=1, **CALLER)).process() == Complete()
    assert len(world.flows.calls) == 1


@pytest.mark.parametrize("enqueued_at", [STARTS_AT - 2.0, STARTS_AT - 500.0], ids=["in time", "too late"])
async def test_a_strangers_redelivery_is_indeterminate_where_after_crash_says_so(
    world: World, enqueued_at: float
) -> None:
    """Also too late: `expired` would promise that no flow was called."""
    delivery = world.delivery("wary", delivery_count=1, enqueued_at=enqueued_at, **CALLER)
    assert await world.passage(delivery).process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert not world.flows.calls


async def test_a_strangers_one_way_redelivery_is_dead_lettered_where_after_crash_says_so(world: World) -> None:
    settlement = await world.passage(world.delivery("wary", delivery_count=1)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE


async def test_a_first_delivery_is_called_whatever_after_crash_says(world: World) -> None:
    await world.passage(world.delivery("wary", **CALLER)).process()
    assert len(world.flows.calls) == 1


@pytest.mark.parametrize("flow", ["safe", "risky"])
async def test_a_request_that_went_on_as_a_copy_has_not_ended_with_its_original(world: World, flow: str) -> None:
    """Not either where the broker lost the original's settlement, and delivers it once more."""
    world.flows.ending = UNAVAILABLE
    delivery = world.delivery(flow)
    moved = Slot(passage=world.passage(delivery), started_at=STARTS_AT)
    await moved.work()
    assert moved.finish(Settled.LOCK_LOST, STARTS_AT + 1.0).is_copied
    settled = Slot(passage=world.passage(again(delivery)), started_at=STARTS_AT)
    await settled.work()
    observed = settled.finish(Settled.DONE, STARTS_AT + 2.0)
    assert (observed.settlement, observed.is_recalled, observed.outcome) == ("Complete", True, None)
    assert len(world.redeliveries.scheduled) == 1
