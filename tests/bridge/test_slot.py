"""Our own defect never dead-letters a message."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from worker.bridge.leash import CutReason
from worker.bridge.slot import Slot
from worker.core.delivery import Delivery
from worker.core.outcome import Outcome
from worker.core.settlement import Abandon, Complete, LeaveLocked, Settled

from .virtual_time import STARTS_AT
from .world import CALLER, World

DEFECT = ZeroDivisionError("ours")


def slot_of(world: World, delivery: Delivery) -> Slot:
    return Slot(passage=world.passage(delivery), started_at=STARTS_AT)


def elapsed() -> float:
    return asyncio.get_running_loop().time() - STARTS_AT


@pytest.mark.parametrize(("delivery_count", "pause_s"), [(0, 1.0), (1, 2.0), (3, 8.0), (9, 30.0), (1999, 30.0)])
async def test_a_defect_gives_the_message_back_after_a_pause_that_grows(
    world: World, delivery_count: int, pause_s: float
) -> None:
    world.flows.start_fails = DEFECT
    slot = slot_of(world, world.delivery(delivery_count=delivery_count))
    await slot.work()
    assert slot.settlement == Abandon()
    assert elapsed() == pytest.approx(pause_s)


async def test_a_defect_is_logged_with_its_traceback_and_observed(
    world: World, logged: list[MutableMapping[str, Any]]
) -> None:
    world.flows.start_fails = DEFECT
    slot = slot_of(world, world.delivery())
    await slot.work()
    [entry] = logged
    assert entry["event"] == "bridge_defect"
    assert entry["exc_info"]
    assert entry["request_id"] == "m-1"
    observed = slot.observed(Settled.DONE, STARTS_AT + 5.0)
    assert observed.defect == "ZeroDivisionError: ours"
    assert observed.settlement == "Abandon"
    assert observed.outcome is None


async def test_a_caller_hears_nothing_of_a_defect_on_the_first_deliveries(world: World) -> None:
    world.flows.start_fails = DEFECT
    for delivery_count in (0, 1):
        await slot_of(world, world.delivery(delivery_count=delivery_count, **CALLER)).work()
    assert not world.replies.published


async def test_from_the_third_delivery_on_a_caller_who_was_never_called_for_hears_unavailable(world: World) -> None:
    world.flows.start_fails = DEFECT
    slot = slot_of(world, world.delivery(**CALLER))
    await slot.work()
    for delivery_count in (1, 2):
        slot = slot_of(world, replace(slot.delivery, delivery_count=delivery_count))
        await slot.work()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "unavailable"
    assert slot.settlement == Abandon()
    observed = slot.observed(Settled.DONE, STARTS_AT + 5.0)
    assert observed.is_replied
    assert observed.outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_where_others_had_the_earlier_deliveries_nobody_knows_whether_they_called(
    world: World, flow: str
) -> None:
    world.flows.start_fails = DEFECT
    slot = slot_of(world, world.delivery(flow, delivery_count=2, **CALLER))
    await slot.work()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_from_the_third_delivery_on_a_caller_whose_flow_may_have_run_hears_indeterminate(world: World) -> None:
    world.flows.ending = DEFECT
    slot = slot_of(world, world.delivery(delivery_count=2, **CALLER))
    await slot.work()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert slot.settlement == Abandon()


async def test_an_answer_that_a_defect_keeps_from_its_caller_never_becomes_unavailable(world: World) -> None:
    """The run is remembered over the deliveries; only publishing fails, each time anew."""
    delivery = world.delivery(delivery_count=1, **CALLER)
    world.replies.says = [DEFECT, DEFECT]
    await slot_of(world, delivery).work()
    third = world.delivery(
        delivery_count=2, sequence_number=delivery.sequence_number, message_id=delivery.message_id, **CALLER
    )
    await slot_of(world, third).work()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert len(world.flows.calls) == 1


async def test_a_defect_during_the_call_never_leads_to_a_second_one(world: World) -> None:
    world.flows.ending = DEFECT
    delivery = world.delivery(**CALLER)
    await slot_of(world, delivery).work()
    next_slot = slot_of(world, delivery)
    await next_slot.work()
    assert next_slot.settlement == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"
    assert len(world.flows.calls) == 1


async def test_a_defect_before_the_call_does_not_count_as_one(world: World) -> None:
    world.flows.start_fails = DEFECT
    delivery = world.delivery(**CALLER)
    await slot_of(world, delivery).work()
    world.flows.start_fails = None
    await slot_of(world, delivery).work()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "answered"


async def test_a_defect_while_the_caller_is_told_still_ends_in_a_pause_and_an_abandoned_message(
    world: World, logged: list[MutableMapping[str, Any]]
) -> None:
    world.replies.says = [DEFECT, DEFECT]
    slot = slot_of(world, world.delivery(delivery_count=2, **CALLER))
    await slot.work()
    assert slot.settlement == Abandon()
    assert elapsed() == pytest.approx(1.0 + 4.0)
    assert [entry["event"] for entry in logged] == ["bridge_defect", "bridge_defect_untold"]


@pytest.mark.parametrize(
    ("reason", "settlement"),
    [
        (CutReason.LOCK_LOST, LeaveLocked()),
        (CutReason.STOPPING, Abandon()),
        (CutReason.DRAIN_OVER, Abandon()),
        (CutReason.STOP_NOW, Abandon()),
    ],
)
async def test_the_pause_after_a_defect_is_cut_like_any_work(
    world: World, reason: CutReason, settlement: LeaveLocked | Abandon
) -> None:
    world.flows.start_fails = DEFECT
    slot = slot_of(world, world.delivery(delivery_count=9))
    asyncio.get_running_loop().call_later(3.0, slot.passage.leash.cut, reason)
    await slot.work()
    assert slot.settlement == settlement
    assert elapsed() == pytest.approx(3.0)


async def test_what_is_observed_of_an_answer_is_complete(world: World) -> None:
    slot = slot_of(world, world.delivery(correlation_id="conversation", **CALLER))
    await slot.work()
    observed = slot.observed(Settled.DONE, STARTS_AT + 5.0)
    assert (observed.request_id, observed.correlation_id, observed.flow) == ("m-1", "conversation", "risky")
    assert (observed.outcome, observed.http_status, observed.run_id) == (Outcome.ANSWERED, 200, "run-1")
    assert (observed.attempts, observed.is_recalled, observed.is_replied) == (1, False, True)
    assert (observed.settlement, observed.settled) == ("Complete", Settled.DONE)
    assert (observed.queue_wait_s, observed.call_s, observed.elapsed_s) == pytest.approx((2.0, 1.0, 7.0))
