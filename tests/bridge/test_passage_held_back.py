"""What our own limits hold back: it comes again in time, or its caller is told what is known."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from worker.bridge.leash import CutReason
from worker.core.delivery import Delivery
from worker.core.outcome import HeldBack, Reason, Unavailable
from worker.core.redelivery import Copy
from worker.core.reply import Undelivered
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked

from .virtual_time import STARTS_AT
from .world import ANSWERED, CALLER, EXPIRED, UNAVAILABLE, World

WITHOUT_TOKEN = Unavailable(detail="No token.", attempts=0, retry_after_s=10.0, held_back=HeldBack.TOKEN)
CIRCUIT_OPEN = Unavailable(detail="The circuit is open.", attempts=0, retry_after_s=10.0, held_back=HeldBack.CIRCUIT)
LATE = Undelivered(detail="the broker did not confirm it in time", is_late=True)


@pytest.fixture
def crowded() -> World:
    """No slot is left for the flow."""
    world = World(slots=1)
    world.bulkhead.enter("risky", STARTS_AT)
    return world


async def test_a_request_without_a_place_comes_again_and_spends_no_try(crowded: World) -> None:
    delivery = crowded.delivery(properties={"delivery-attempt": 1, "request-id": "first"})
    passage = crowded.passage(delivery)
    assert await passage.process() == Complete()
    [copy] = crowded.redeliveries.scheduled
    assert copy.properties["delivery-attempt"] == 1
    assert copy.delay_s >= 1.0
    assert not crowded.flows.calls
    assert passage.copying.copy_in_s is not None


async def test_a_caller_takes_its_deadline_and_its_address_along(crowded: World) -> None:
    delivery = crowded.delivery(time_to_live_s=20.0, **CALLER)
    assert await crowded.passage(delivery).process() == Complete()
    [copy] = crowded.redeliveries.scheduled
    assert not crowded.replies.published
    crowded.bulkhead.leave("risky", STARTS_AT, held_s=1.0)
    passage = crowded.passage(crowded.received(copy))
    assert await passage.process() == Complete()
    assert passage.deadline == pytest.approx(STARTS_AT + 18.0)
    [reply] = crowded.replies.published
    assert reply.properties["outcome"] == "answered"
    assert reply.correlation_id == delivery.message_id


async def test_a_clock_behind_the_brokers_takes_no_time_from_a_caller_that_comes_again(crowded: World) -> None:
    """By it the request comes from the future, by more than the caller waits."""
    delivery = crowded.delivery(enqueued_at=STARTS_AT + 100.0, properties={"timeout-s": 30}, **CALLER)
    assert await crowded.passage(delivery).process() == Complete()
    [copy] = crowded.redeliveries.scheduled
    assert copy.properties["timeout-s"] == pytest.approx(30.0, abs=1.0)
    crowded.bulkhead.leave("risky", STARTS_AT, held_s=1.0)
    await crowded.passage(replace(crowded.received(copy), enqueued_at=STARTS_AT + 102.0)).process()
    [reply] = crowded.replies.published
    assert reply.properties["outcome"] == "answered"


@pytest.mark.parametrize("ending", [WITHOUT_TOKEN, CIRCUIT_OPEN])
async def test_a_caller_with_too_little_time_is_told_at_once(world: World, ending: Unavailable) -> None:
    world.flows.ending = ending
    await world.passage(world.delivery(time_to_live_s=12.0, **CALLER)).process()
    [reply] = world.replies.published
    assert (reply.properties["outcome"], reply.properties["retry-after-s"]) == ("unavailable", 10)
    assert not world.redeliveries.scheduled


async def test_a_caller_with_time_waits_for_a_token_in_the_queue(world: World) -> None:
    world.flows.ending = WITHOUT_TOKEN
    await world.passage(world.delivery(**CALLER)).process()
    assert not world.replies.published
    [copy] = world.redeliveries.scheduled
    assert copy.delay_s >= 10.0


async def test_a_caller_whose_copy_may_be_on_its_way_is_not_told_that_the_flow_did_not_run(crowded: World) -> None:
    crowded.redeliveries.says = LATE
    await crowded.passage(crowded.delivery(**CALLER)).process()
    [reply] = crowded.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_nor_is_it_when_the_lock_was_lost_meanwhile_and_no_time_is_left(crowded: World) -> None:
    crowded.redeliveries.takes_s = 30.0
    delivery = crowded.delivery(time_to_live_s=20.0, **CALLER)
    passage = crowded.passage(delivery)
    asyncio.get_running_loop().call_later(5.0, passage.leash.cut, CutReason.LOCK_LOST)
    assert await passage.process() == LeaveLocked()
    await asyncio.sleep(12.5)
    await crowded.passage(replace(delivery, delivery_count=1)).process()
    [reply] = crowded.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_a_copy_that_is_not_taken_leaves_time_to_tell_the_caller(crowded: World) -> None:
    asked: list[float] = []
    schedule = crowded.redeliveries.schedule

    async def note(copy: object, *, until: float) -> Undelivered | None:
        asked.append(until)
        return await schedule(copy, until=until)  # type: ignore[arg-type]

    crowded.redeliveries.schedule = note  # type: ignore[method-assign]
    await crowded.passage(crowded.delivery(time_to_live_s=22.0, **CALLER)).process()
    assert asked == [pytest.approx(STARTS_AT + 10.0, abs=0.2)]


async def copied_elsewhere(delivery: Delivery) -> Copy:
    """By a worker without a slot for it."""
    other = World(slots=1)
    other.bulkhead.enter("risky", STARTS_AT)
    await other.passage(delivery).process()
    [copy] = other.redeliveries.scheduled
    return copy


async def test_the_copy_of_a_request_that_this_worker_called_after_all_is_dropped(world: World) -> None:
    """The copy was taken, but not confirmed before the lock was lost; then the original came here and was called."""
    delivery = world.delivery(**CALLER)
    copy = await copied_elsewhere(delivery)
    await world.passage(replace(delivery, delivery_count=1)).process()
    passage = world.passage(world.received(copy))
    assert await passage.process() == Complete()
    assert len(world.flows.calls) == 1
    assert len(world.replies.published) == 1


async def test_a_caller_whose_first_delivery_ended_by_our_defect_is_told_by_the_copy(world: World) -> None:
    """This worker called the flow and failed; another got the request then, and its copy came back here."""
    world.flows.ending = ZeroDivisionError("ours")
    delivery = world.delivery(**CALLER)
    with pytest.raises(ZeroDivisionError):
        await world.passage(delivery).process()
    copy = await copied_elsewhere(replace(delivery, delivery_count=1))
    assert await world.passage(world.received(copy)).process() == Complete()
    assert len(world.flows.calls) == 1
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_a_copy_stays_until_it_is_clear_what_the_call_for_its_original_comes_to(world: World) -> None:
    """Or the original's own copy, which has the same id, would be dropped as a duplicate of one that is gone."""
    delivery = world.delivery(**CALLER)
    copy = await copied_elsewhere(delivery)
    world.flows.takes_s, world.flows.ending = 5.0, UNAVAILABLE
    calling = asyncio.create_task(world.passage(replace(delivery, delivery_count=1)).process())
    await asyncio.sleep(1.0)
    copied = asyncio.create_task(world.passage(world.received(copy)).process())
    assert await calling == Complete()
    assert not copied.done()
    assert await copied == Complete()
    assert len(world.flows.calls) == 2, "the first surely didn't run"


@pytest.mark.parametrize("sender", [CALLER, {}], ids=["caller", "one-way"])
async def test_a_copy_goes_with_the_answer_to_its_original(world: World, sender: dict[str, Any]) -> None:
    delivery = world.delivery(**sender)
    copy = await copied_elsewhere(delivery)
    world.flows.takes_s = 5.0
    calling = asyncio.create_task(world.passage(replace(delivery, delivery_count=1)).process())
    await asyncio.sleep(1.0)
    assert await world.passage(world.received(copy)).process() == Complete()
    assert await calling == Complete()
    assert len(world.flows.calls) == 1


@pytest.mark.parametrize(
    ("reason", "settlement"), [(CutReason.LOCK_LOST, LeaveLocked()), (CutReason.STOPPING, Abandon())]
)
async def test_a_copy_that_waits_for_its_original_can_be_cut(
    world: World, reason: CutReason, settlement: LeaveLocked | Abandon
) -> None:
    delivery = world.delivery(**CALLER)
    copy = await copied_elsewhere(delivery)
    world.flows.takes_s = 5.0
    calling = asyncio.create_task(world.passage(replace(delivery, delivery_count=1)).process())
    await asyncio.sleep(1.0)
    passage = world.passage(world.received(copy))
    asyncio.get_running_loop().call_later(1.0, passage.leash.cut, reason)
    assert await passage.process() == settlement
    assert await calling == Complete()


async def test_the_first_message_is_not_called_where_its_copy_was(world: World) -> None:
    """Another worker died between having the copy accepted and completing the first message."""
    delivery = world.delivery(**CALLER)
    copy = await copied_elsewhere(delivery)
    assert await world.passage(world.received(copy)).process() == Complete()
    assert await world.passage(replace(delivery, delivery_count=1)).process() == Complete()
    assert len(world.flows.calls) == 1
    assert len(world.replies.published) == 1


async def test_such_a_copy_of_a_one_way_request_is_kept_for_its_sender(world: World) -> None:
    delivery = world.delivery(properties={"delivery-attempt": 1, "request-id": "first"})
    await world.passage(delivery).process()
    again = replace(delivery, sequence_number=99, message_id="resubmitted")
    settlement = await world.passage(again).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_INDETERMINATE
    assert len(world.flows.calls) == 1


async def test_the_copy_of_what_surely_did_not_run_is_called(world: World) -> None:
    world.flows.ending = UNAVAILABLE
    await world.passage(world.delivery()).process()
    [copy] = world.redeliveries.scheduled
    world.flows.ending = ANSWERED
    assert await world.passage(world.received(copy)).process() == Complete()
    assert len(world.flows.calls) == 2


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_a_strangers_redelivery_that_comes_too_late_may_have_run(world: World, flow: str) -> None:
    await world.passage(world.delivery(flow, delivery_count=1, enqueued_at=STARTS_AT - 500.0, **CALLER)).process()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_a_copy_remembers_that_its_original_was_a_redelivery(crowded: World) -> None:
    await crowded.passage(crowded.delivery(delivery_count=1, **CALLER)).process()
    [copy] = crowded.redeliveries.scheduled
    crowded.bulkhead.leave("risky", STARTS_AT, held_s=1.0)
    crowded.flows.ending = EXPIRED
    await crowded.passage(crowded.received(copy)).process()
    [reply] = crowded.replies.published
    assert reply.properties["outcome"] == "indeterminate"


async def test_a_request_that_claims_to_come_from_the_future_grows_old_all_the_same(crowded: World) -> None:
    delivery = crowded.delivery(properties={"first-enqueued": 4_000_000_000_000})
    await crowded.passage(delivery).process()
    [copy] = crowded.redeliveries.scheduled
    assert copy.properties["first-enqueued"] == delivery.enqueued_time_ms


async def test_where_copies_have_nowhere_to_go_the_request_is_dead_lettered(world: World) -> None:
    world.flows.ending = WITHOUT_TOKEN
    bridge = replace(world.bridge, redeliveries=None)
    passage = replace(world.passage(world.delivery()), bridge=bridge)
    settlement = await passage.process()
    assert isinstance(settlement, DeadLetter)
    assert "retry_queue" in settlement.description


async def test_two_copies_of_one_request_never_share_an_id(world: World) -> None:
    """A subscription and its retry queue number alike."""
    world.flows.ending = UNAVAILABLE
    first = world.delivery()
    await world.passage(first).process()
    [copy] = world.redeliveries.scheduled
    again = replace(world.received(copy), sequence_number=first.sequence_number)
    await world.passage(again).process()
    assert len({each.message_id for each in world.redeliveries.scheduled}) == 2
