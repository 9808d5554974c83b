"""The few awaits of a passage are the only places where the world can interfere: each is cut here, by each reason."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from worker.bridge.leash import CutReason
from worker.bridge.process import Passage
from worker.core.outcome import Reason
from worker.core.reply import Undelivered
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settlement

from .virtual_time import STARTS_AT
from .world import CALLER, INDETERMINATE, UNAVAILABLE, World

ONE_WAY: dict[str, Any] = {}
LOCK_LOST, STOPPING, DRAIN_OVER, STOP_NOW = CutReason


async def cut_after(seconds: float, reason: CutReason, passage: Passage) -> Settlement:
    asyncio.get_running_loop().call_later(seconds, passage.leash.cut, reason)
    return await passage.process()


@pytest.mark.parametrize("flow", ["risky", "safe"])
@pytest.mark.parametrize("sender", [CALLER, ONE_WAY], ids=["caller", "one-way"])
async def test_a_lock_lost_during_the_call_ends_it_without_a_word(
    world: World, flow: str, sender: dict[str, Any]
) -> None:
    world.flows.takes_s = 50.0
    settlement = await cut_after(5.0, LOCK_LOST, world.passage(world.delivery(flow, **sender)))
    assert settlement == LeaveLocked()
    assert not world.replies.published
    assert asyncio.get_running_loop().time() == pytest.approx(STARTS_AT + 5.0)


@pytest.mark.parametrize("reason", [DRAIN_OVER, STOP_NOW])
@pytest.mark.parametrize("sender", [CALLER, ONE_WAY], ids=["caller", "one-way"])
async def test_a_drain_over_gives_an_idempotent_flows_request_to_another_worker(
    world: World, sender: dict[str, Any], reason: CutReason
) -> None:
    world.flows.takes_s = 50.0
    settlement = await cut_after(5.0, reason, world.passage(world.delivery("safe", **sender)))
    assert settlement == Abandon()
    assert not world.replies.published


async def test_a_drain_over_answers_another_flows_caller_indeterminate(world: World) -> None:
    world.flows.takes_s = 50.0
    settlement = await cut_after(5.0, DRAIN_OVER, world.passage(world.delivery(**CALLER)))
    assert settlement == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


@pytest.mark.parametrize("reason", [DRAIN_OVER, STOP_NOW])
async def test_a_drain_over_dead_letters_another_flows_one_way_request(world: World, reason: CutReason) -> None:
    world.flows.takes_s = 50.0
    settlement = await cut_after(5.0, reason, world.passage(world.delivery()))
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE


@pytest.mark.parametrize("reason", [STOPPING, DRAIN_OVER])
@pytest.mark.parametrize("sender", [CALLER, ONE_WAY], ids=["caller", "one-way"])
async def test_what_was_not_called_yet_goes_to_another_worker_as_a_copy_at_no_delivery_count_and_no_try(
    world: World, sender: dict[str, Any], reason: CutReason
) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    settlement = await cut_after(5.0, reason, world.passage(world.delivery(**sender)))
    assert settlement == Complete()
    [copy] = world.redeliveries.scheduled
    assert copy.properties["delivery-attempt"] == 0
    assert copy.delay_s < 1.5
    assert not world.replies.published


@pytest.mark.parametrize("sender", [CALLER, ONE_WAY], ids=["caller", "one-way"])
async def test_a_worker_that_must_stop_now_hands_back_what_was_not_called_yet(
    world: World, sender: dict[str, Any]
) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    delivery = world.delivery(**sender)
    assert await cut_after(5.0, STOP_NOW, world.passage(delivery)) == Abandon()


async def test_what_was_not_called_yet_is_handed_back_where_the_queue_takes_no_copy(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    world.redeliveries.says = Undelivered(detail="no such queue")
    assert await cut_after(5.0, STOPPING, world.passage(world.delivery())) == Abandon()


@pytest.mark.parametrize("sender", [CALLER, ONE_WAY], ids=["caller", "one-way"])
async def test_a_copy_in_doubt_when_the_worker_must_stop_is_not_handed_back_too(
    world: World, sender: dict[str, Any]
) -> None:
    world.flows.takes_s, world.flows.safe_for_s, world.redeliveries.takes_s = 50.0, 10.0, 20.0
    passage = world.passage(world.delivery(**sender))
    asyncio.get_running_loop().call_later(5.0, passage.leash.cut, STOPPING)
    settlement = await cut_after(7.0, STOP_NOW, passage)
    assert isinstance(settlement, DeadLetter)
    assert "A copy of the request may still reach the flow" in settlement.description


async def test_a_caller_without_time_for_another_worker_is_told_when_this_one_stops(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    delivery = world.delivery(enqueued_at=STARTS_AT - 8.0, properties={"timeout-s": 15}, **CALLER)
    assert await cut_after(5.5, STOPPING, world.passage(delivery)) == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "unavailable"


async def test_what_may_have_been_copied_is_not_handed_back_too(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    world.redeliveries.says = Undelivered(detail="no answer", is_late=True)
    assert await cut_after(5.0, STOPPING, world.passage(world.delivery(**CALLER))) == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_a_call_that_has_begun_is_finished_by_a_stopping_worker(world: World) -> None:
    world.flows.takes_s = 50.0
    assert await cut_after(5.0, STOPPING, world.passage(world.delivery(**CALLER))) == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"


async def test_where_copies_have_nowhere_to_go_what_waits_is_worked_on_while_the_drain_lasts(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    world.bridge = replace(world.bridge, redeliveries=None)
    assert await cut_after(5.0, STOPPING, world.passage(world.delivery(**CALLER))) == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"


async def test_where_copies_have_nowhere_to_go_what_waits_is_handed_back_when_the_drain_is_over(world: World) -> None:
    world.flows.takes_s, world.flows.safe_for_s = 50.0, 10.0
    world.bridge = replace(world.bridge, redeliveries=None)
    assert await cut_after(5.0, DRAIN_OVER, world.passage(world.delivery(**CALLER))) == Abandon()


async def test_a_worker_that_must_stop_now_leaves_the_answer_it_cannot_give_in_the_dead_letter_queue(
    world: World,
) -> None:
    world.flows.takes_s = 50.0
    settlement = await cut_after(5.0, STOP_NOW, world.passage(world.delivery(**CALLER)))
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.REPLY_UNDELIVERABLE
    assert "indeterminate" in settlement.description


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_a_lock_lost_during_the_reply_ends_it_without_a_word(world: World, flow: str) -> None:
    world.replies.takes_s = 20.0
    settlement = await cut_after(5.0, LOCK_LOST, world.passage(world.delivery(flow, **CALLER)))
    assert settlement == LeaveLocked()
    assert not world.replies.published


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_a_drain_over_does_not_cut_a_reply(world: World, flow: str) -> None:
    world.replies.takes_s = 20.0
    settlement = await cut_after(5.0, DRAIN_OVER, world.passage(world.delivery(flow, **CALLER)))
    assert settlement == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"


async def test_a_worker_that_must_stop_now_keeps_the_answer_of_a_flow_that_must_not_run_twice(world: World) -> None:
    world.replies.takes_s = 20.0
    settlement = await cut_after(5.0, STOP_NOW, world.passage(world.delivery(**CALLER)))
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.REPLY_UNDELIVERABLE
    assert "answered, HTTP 200, run run-1" in settlement.description


async def test_a_worker_that_must_stop_now_lets_another_call_an_idempotent_flow_again(world: World) -> None:
    world.replies.takes_s = 20.0
    assert await cut_after(5.0, STOP_NOW, world.passage(world.delivery("safe", **CALLER))) == Abandon()


async def test_a_worker_that_must_stop_now_hands_back_what_surely_did_not_run(world: World) -> None:
    world.flows.ending, world.replies.takes_s = UNAVAILABLE, 20.0
    assert await cut_after(5.0, STOP_NOW, world.passage(world.delivery(**CALLER))) == Abandon()


async def test_a_lock_lost_while_a_copy_is_scheduled_ends_it_without_a_word(world: World) -> None:
    world.flows.ending, world.redeliveries.takes_s = UNAVAILABLE, 20.0
    assert await cut_after(5.0, LOCK_LOST, world.passage(world.delivery())) == LeaveLocked()


async def test_a_drain_over_does_not_cut_the_scheduling_of_a_copy(world: World) -> None:
    world.flows.ending, world.redeliveries.takes_s = UNAVAILABLE, 20.0
    assert await cut_after(5.0, DRAIN_OVER, world.passage(world.delivery())) == Complete()


async def test_a_worker_that_must_stop_now_hands_back_what_it_could_not_copy(world: World) -> None:
    world.flows.ending, world.redeliveries.takes_s = INDETERMINATE, 20.0
    assert await cut_after(5.0, STOP_NOW, world.passage(world.delivery("safe"))) == Abandon()


async def test_a_lock_lost_while_the_drain_ends_still_means_no_word(world: World) -> None:
    world.flows.takes_s = 50.0
    passage = world.passage(world.delivery(**CALLER))
    loop = asyncio.get_running_loop()
    loop.call_later(5.0, passage.leash.cut, DRAIN_OVER)
    loop.call_later(5.0, passage.leash.cut, LOCK_LOST)
    assert await passage.process() == LeaveLocked()
    assert not world.replies.published


@pytest.mark.parametrize("reason", list(CutReason))
async def test_what_is_cut_before_it_begins_is_never_called(world: World, reason: CutReason) -> None:
    passage = world.passage(world.delivery(**CALLER))
    passage.leash.cut(reason)
    expected = {LOCK_LOST: LeaveLocked(), STOP_NOW: Abandon()}
    assert await passage.process() == expected.get(reason, Complete())
    assert len(world.redeliveries.scheduled) == (reason not in expected)
    assert not world.flows.calls
    assert not world.replies.published


async def test_cancellation_from_outside_passes_through_a_passage(world: World) -> None:
    world.flows.takes_s = 50.0
    task = asyncio.create_task(world.passage(world.delivery(**CALLER)).process())
    asyncio.get_running_loop().call_later(5.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
