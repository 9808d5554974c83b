"""One message through its eight steps, when the world keeps still."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from worker.bridge.process import Passage
from worker.core.outcome import FlowOutcome, Reason
from worker.core.reply import Undelivered
from worker.core.settlement import Complete, DeadLetter

from .virtual_time import STARTS_AT
from .world import ANSWERED, CALLER, EXPIRED, INDETERMINATE, REFUSED, UNAVAILABLE, World

OUTCOMES: list[tuple[FlowOutcome, str]] = [
    (ANSWERED, "answered"),
    (REFUSED, "refused"),
    (UNAVAILABLE, "unavailable"),
    (INDETERMINATE, "indeterminate"),
    (EXPIRED, "expired"),
]
TOO_LARGE = Undelivered(detail="262145 bytes are above the limit", is_too_large=True)
TOO_DEEP = b'{"MessageName": "Update", "Stage": 40, "Depth": 9}'
NO_QUEUE = Undelivered(detail="queue 'flow-replies' was deleted")


@pytest.mark.parametrize(("outcome", "name"), OUTCOMES)
@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_every_outcome_of_a_flow_is_replied_and_then_completed(
    world: World, outcome: FlowOutcome, name: str, flow: str
) -> None:
    world.flows.ending = outcome
    delivery = world.delivery(flow, **CALLER)
    passage = world.passage(delivery)
    assert await passage.process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == name
    assert (reply.to.queue, reply.to.session_id) == ("flow-replies", "caller-1")
    assert reply.correlation_id == delivery.message_id
    assert passage.is_replied
    assert len(world.flows.calls) == 1


@pytest.mark.parametrize(
    ("outcome", "flow", "reason"),
    [
        (REFUSED, "risky", Reason.FLOW_REFUSED),
        (REFUSED, "safe", Reason.FLOW_REFUSED),
        (INDETERMINATE, "risky", Reason.FLOW_INDETERMINATE),
        (EXPIRED, "safe", Reason.EXPIRED),
    ],
)
async def test_a_one_way_request_that_cannot_be_tried_again_is_dead_lettered(
    world: World, outcome: FlowOutcome, flow: str, reason: Reason
) -> None:
    world.flows.ending = outcome
    settlement = await world.passage(world.delivery(flow)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is reason
    assert not world.replies.published
    assert not world.redeliveries.scheduled


async def test_an_answered_one_way_request_is_completed_without_a_reply(world: World) -> None:
    assert await world.passage(world.delivery()).process() == Complete()
    assert not world.replies.published


@pytest.mark.parametrize(("outcome", "flow"), [(UNAVAILABLE, "risky"), (UNAVAILABLE, "safe"), (INDETERMINATE, "safe")])
async def test_a_one_way_request_that_may_be_tried_again_is_copied_and_then_completed(
    world: World, outcome: FlowOutcome, flow: str
) -> None:
    world.flows.ending = outcome
    delivery = world.delivery(flow)
    assert await world.passage(delivery).process() == Complete()
    [copy] = world.redeliveries.scheduled
    assert copy.original is delivery
    assert copy.properties["request-id"] == delivery.message_id
    assert copy.properties["delivery-attempt"] == 1


async def test_a_one_way_request_whose_tries_are_spent_is_dead_lettered(world: World) -> None:
    world.flows.ending = UNAVAILABLE
    settlement = await world.passage(world.delivery(properties={"delivery-attempt": 2})).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_UNAVAILABLE
    assert "3 tries" in settlement.description


async def test_a_copy_that_the_queue_does_not_take_ends_in_the_dead_letter_queue(world: World) -> None:
    world.flows.ending = UNAVAILABLE
    world.redeliveries.says = Undelivered(detail="the queue is full")
    settlement = await world.passage(world.delivery()).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_UNAVAILABLE
    assert "the queue is full" in settlement.description


async def test_without_redelivery_a_failed_one_way_request_is_dead_lettered_at_once(world: World) -> None:
    world.flows.ending = UNAVAILABLE
    bridge = replace(world.bridge, redeliveries=None)
    settlement = await Passage(bridge=bridge, delivery=world.delivery()).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.FLOW_UNAVAILABLE
    assert "no queue for another try" in settlement.description


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"body": None}, Reason.MALFORMED),
        ({"properties": {"timeout-s": "soon"}}, Reason.MALFORMED),
        ({"flow": "nobody"}, Reason.UNROUTABLE),
        ({"flow": "picky"}, Reason.MALFORMED),
        ({"body": TOO_DEEP, "content_type": "application/json"}, Reason.UNROUTABLE),
    ],
    ids=["no body", "bad timeout", "unknown flow", "no context", "a loop"],
)
async def test_a_wrong_request_is_replied_to_and_dead_lettered_and_no_flow_is_called(
    world: World, given: dict[str, Any], reason: Reason
) -> None:
    settlement = await world.passage(world.delivery(**given, **CALLER)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is reason
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "rejected"
    assert reply.properties["reason"] == reason.value
    assert reply.properties["attempts"] == 0
    assert not world.flows.calls


async def test_a_wrong_one_way_request_is_dead_lettered(world: World) -> None:
    settlement = await world.passage(world.delivery("nobody")).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.UNROUTABLE


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"reply_to": "elsewhere", "reply_to_session_id": "s"}, Reason.RETURN_ADDRESS_NOT_ALLOWED),
        ({"reply_to": "flow-replies"}, Reason.RETURN_ADDRESS_INVALID),
        ({"reply_to_session_id": "s" * 129}, Reason.RETURN_ADDRESS_INVALID),
    ],
)
async def test_a_wrong_return_address_means_no_answer_and_no_call(
    world: World, given: dict[str, Any], reason: Reason
) -> None:
    settlement = await world.passage(world.delivery(**given)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is reason
    assert not world.replies.published
    assert not world.replies.refused
    assert not world.flows.calls


async def test_a_request_whose_time_is_over_is_answered_expired_without_a_call(world: World) -> None:
    late = world.delivery(enqueued_at=STARTS_AT - 200.0, **CALLER)
    assert await world.passage(late).process() == Complete()
    [reply] = world.replies.published
    assert reply.properties["outcome"] == "expired"
    assert reply.properties["attempts"] == 0
    assert not world.flows.calls


async def test_the_call_must_end_a_margin_before_the_deadline(world: World) -> None:
    await world.passage(world.delivery(properties={"timeout-s": 20}, **CALLER)).process()
    [call] = world.flows.calls
    assert call.deadline == pytest.approx(STARTS_AT - 2.0 + 20.0 - 0.5)


async def test_a_one_way_call_is_bounded_by_its_attempts_alone(world: World) -> None:
    await world.passage(world.delivery(time_to_live_s=90.0)).process()
    [call] = world.flows.calls
    assert call.deadline is None


async def test_elapsed_time_runs_from_enqueuing_to_publishing(world: World) -> None:
    world.flows.takes_s = 3.0
    await world.passage(world.delivery(**CALLER)).process()
    [reply] = world.replies.published
    assert reply.properties["elapsed-ms"] == 5000


async def test_a_reply_is_tried_until_its_time_to_live_is_over(world: World) -> None:
    await world.passage(world.delivery(properties={"reply-ttl-s": 900}, **CALLER)).process()
    [until] = world.replies.until
    assert until == pytest.approx(STARTS_AT + 1.0 + 900.0)


@pytest.mark.parametrize("outcome", [ANSWERED, REFUSED])
async def test_an_answer_above_the_reply_queues_limit_becomes_indeterminate(world: World, outcome: FlowOutcome) -> None:
    world.flows.ending = outcome
    world.replies.says = [TOO_LARGE]
    passage = world.passage(world.delivery(**CALLER))
    assert await passage.process() == Complete()
    [reply] = world.replies.published
    [refused] = world.replies.refused
    assert reply.properties["outcome"] == "indeterminate"
    assert reply.properties["reason"] == "TooLarge"
    assert reply.properties["http-status"] == refused.properties["http-status"]
    assert reply.properties["run-id"] == refused.properties["run-id"]
    assert reply.message_id == refused.message_id
    assert passage.is_replied


@pytest.mark.parametrize("says", [[NO_QUEUE], [TOO_LARGE, NO_QUEUE]])
async def test_a_reply_that_cannot_be_published_is_dead_lettered_with_outcome_and_run(
    world: World, says: list[Undelivered | Exception | None]
) -> None:
    world.replies.says = says
    passage = world.passage(world.delivery(**CALLER))
    settlement = await passage.process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason is Reason.REPLY_UNDELIVERABLE
    assert "was deleted" in settlement.description
    assert "run-1" in settlement.description
    assert "answered" in settlement.description or "indeterminate" in settlement.description
    assert not passage.is_replied


async def test_what_was_told_to_a_caller_is_what_is_observed(world: World) -> None:
    world.flows.takes_s = 4.0
    passage = world.passage(world.delivery(**CALLER))
    await passage.process()
    assert passage.outcome is ANSWERED
    assert passage.calling.call_s == pytest.approx(4.0)
    assert asyncio.get_running_loop().time() == pytest.approx(STARTS_AT + 4.0)
