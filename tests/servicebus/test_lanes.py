import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable, Misconfigured
from worker.core.outcome import Reason
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked, Settled, Settlement
from worker.emulator.server import EmbeddedBroker
from worker.servicebus import lanes
from worker.servicebus.connect import Bus, QueueSource, SubscriptionSource
from worker.servicebus.lanes import ReceiverLane

QUEUE = "flow-requests"
Send = Callable[..., Awaitable[None]]


def numbered(count: int) -> list[dict[str, object]]:
    return [{"message_id": f"m{number}"} for number in range(count)]


async def take(lane: ReceiverLane, count: int) -> list[Delivery]:
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        deliveries += await lane.receive(wait_s=5)
    return deliveries


async def settle_each(lane: ReceiverLane, deliveries: list[Delivery], settlement: Settlement) -> set[Settled]:
    return set(await lane.settle([(delivery, settlement) for delivery in deliveries]))


async def test_a_message_arrives_whole_and_at_once(lane: ReceiverLane, send: Send) -> None:
    await send(
        {
            "body": b"\x00body",
            "message_id": "m",
            "correlation_id": "c",
            "reply_to": "flow-replies",
            "reply_to_session_id": "s",
            "content_type": "application/json",
            "subject": "subject",
            "to": "to",
            "partition_key": "p",
            "time_to_live": timedelta(seconds=90),
            "application_properties": {"flow": "credit-check", "big": 5, "raw": "ä"},
        }
    )
    started = asyncio.get_running_loop().time()
    [delivery] = await lane.receive(wait_s=5)
    now = asyncio.get_running_loop().time()
    assert now - started < 0.2  # the SDK waits so long for more, unless one is all that was asked for
    assert (delivery.body, delivery.message_id, delivery.correlation_id) == (b"\x00body", "m", "c")
    assert (delivery.reply_to, delivery.reply_to_session_id) == ("flow-replies", "s")
    assert (delivery.content_type, delivery.subject, delivery.to) == ("application/json", "subject", "to")
    assert (delivery.partition_key, delivery.time_to_live_s, delivery.delivery_count) == ("p", 90.0, 0)
    assert delivery.properties == {"flow": "credit-check", "big": 5, "raw": "ä"}
    assert now - 5 < delivery.enqueued_at <= now + 0.1
    assert now + 50 < delivery.locked_until < now + 61


async def test_credit_is_what_the_broker_may_still_send(lane: ReceiverLane, send: Send) -> None:
    assert await lane.receive(wait_s=0.05) == []
    assert lane.credit == 1
    await send({})
    assert len(await lane.receive(wait_s=5)) == 1
    assert lane.credit == 0


async def test_a_message_that_comes_between_two_receives_is_not_lost(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await lane.receive(wait_s=0.05)
    await send({})
    await broker.until(lambda facts: facts.counts(QUEUE).locked == 1)  # on the credit left over
    [delivery] = await lane.receive(wait_s=5)
    assert delivery.delivery_count == 0


@pytest.mark.parametrize("count", [1, 20])
async def test_completing_removes(lane: ReceiverLane, send: Send, broker: EmbeddedBroker, count: int) -> None:
    await send(*numbered(count))
    assert await settle_each(lane, await take(lane, count), Complete()) == {Settled.DONE}
    assert broker.facts.messages(QUEUE) == []


async def test_abandoning_brings_it_back_at_one_delivery_count(lane: ReceiverLane, send: Send) -> None:
    await send({})
    assert await settle_each(lane, await take(lane, 1), Abandon()) == {Settled.DONE}
    [again] = await take(lane, 1)
    assert again.delivery_count == 1


async def test_a_dead_letter_carries_its_reason_and_a_description_cut_to_the_limit(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    settlement = DeadLetter(reason=Reason.MALFORMED, description="ü" * 5000)
    assert await settle_each(lane, await take(lane, 1), settlement) == {Settled.DONE}
    [dead] = broker.facts.messages(f"{QUEUE}/$DeadLetterQueue")
    assert dead.added_properties["DeadLetterReason"] == "Malformed"
    assert dead.added_properties["DeadLetterErrorDescription"] == "ü" * 4096


async def test_what_is_left_locked_stays_locked(lane: ReceiverLane, send: Send, broker: EmbeddedBroker) -> None:
    await send({})
    deliveries = await take(lane, 1)
    assert await settle_each(lane, deliveries, LeaveLocked()) == {Settled.DONE}
    assert broker.facts.counts(QUEUE).locked == 1
    assert await settle_each(lane, deliveries, Complete()) == {Settled.LOCK_LOST}


async def test_trace_properties_that_are_not_ascii_do_not_prevent_settling(lane: ReceiverLane, send: Send) -> None:
    await send({"application_properties": {"traceparent": "00-ü", "tracestate": "ü", "Diagnostic-Id": "ü"}})
    [delivery] = await take(lane, 1)
    assert delivery.properties["traceparent"] == "00-ü"
    assert await settle_each(lane, [delivery], Complete()) == {Settled.DONE}


async def test_a_lock_that_the_broker_took_away_is_told_and_the_lane_goes_on(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [lost] = await take(lane, 1)
    broker.faults.lose_locks(QUEUE)
    assert await settle_each(lane, [lost], Complete()) == {Settled.LOCK_LOST}
    [again] = await take(lane, 1)
    assert await settle_each(lane, [again], Complete()) == {Settled.DONE}


async def test_a_lock_that_expired_cannot_be_completed(bus: Bus, send: Send, broker: EmbeddedBroker) -> None:
    lane = ReceiverLane(bus, QueueSource(queue="flow-requests-briefly"))
    await lane.open()
    await send({}, to="flow-requests-briefly")
    [delivery] = await take(lane, 1)
    await broker.until(lambda facts: facts.counts("flow-requests-briefly").ready == 1)
    assert await settle_each(lane, [delivery], Complete()) == {Settled.LOCK_LOST}
    await lane.close()


async def test_a_renewed_lock_outlives_its_first_end(bus: Bus, send: Send) -> None:
    lane = ReceiverLane(bus, QueueSource(queue="flow-requests-briefly"))
    await lane.open()
    await send({}, to="flow-requests-briefly")
    [delivery] = await take(lane, 1)
    loop = asyncio.get_running_loop()
    while loop.time() < delivery.locked_until + 0.2:
        until = await lane.renew_lock(delivery)
        assert until is not None
        assert loop.time() < until <= loop.time() + 1.1
    assert await settle_each(lane, [delivery], Complete()) == {Settled.DONE}
    await lane.close()


async def test_a_lost_lock_cannot_be_renewed(lane: ReceiverLane, send: Send, broker: EmbeddedBroker) -> None:
    await send({})
    [delivery] = await take(lane, 1)
    broker.faults.lose_locks(QUEUE)
    assert await lane.renew_lock(delivery) is None


@pytest.mark.parametrize("resets", [True, False])
async def test_after_a_lost_connection_the_lane_is_opened_again_and_settles_what_it_had(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, resets: bool
) -> None:
    await send(*numbered(6))
    before = await take(lane, 3)
    broker.faults.cut_connections(resets=resets)
    with pytest.raises(BusUnreachable):
        await lane.receive(wait_s=5)
    with pytest.raises(BusUnreachable):
        await lane.receive(wait_s=5)
    await lane.open()
    after = await take(lane, 3)  # delivery ids have started over: 1, 2, 3 are there twice
    mixed = [delivery for pair in zip(before, after, strict=True) for delivery in pair]
    assert await settle_each(lane, mixed, Complete()) == {Settled.DONE}
    assert broker.facts.messages(QUEUE) == []


async def test_settlements_that_a_lost_connection_cut_can_be_said_again(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send(*numbered(8))
    deliveries = await take(lane, 8)
    broker.faults.silence_connections()
    settling = asyncio.ensure_future(settle_each(lane, deliveries, Complete()))
    await asyncio.wait({settling}, timeout=0.1)
    broker.faults.cut_connections()
    assert await settling == {Settled.FAILED}
    assert await settle_each(lane, deliveries, Complete()) == {Settled.FAILED}
    await broker.until(lambda facts: facts.connections == 0)  # the SDK would open some anew, and lose sight of them
    await lane.open()
    assert await settle_each(lane, deliveries, Complete()) == {Settled.DONE}


async def test_a_settlement_that_was_applied_but_not_confirmed_says_lock_lost_when_repeated(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SETTLE_S", 0.2)
    await send({})
    deliveries = await take(lane, 1)
    broker.faults.drop_answers(QUEUE, times=1)
    assert await settle_each(lane, deliveries, Complete()) == {Settled.FAILED}
    await lane.open()
    assert await settle_each(lane, deliveries, Complete()) == {Settled.LOCK_LOST}


async def test_a_settlement_is_not_cut_by_cancellation(lane: ReceiverLane, send: Send, broker: EmbeddedBroker) -> None:
    await send(*numbered(3))
    deliveries = await take(lane, 3)
    broker.faults.delay_dispositions(QUEUE, delay_s=0.1)
    settling = asyncio.ensure_future(settle_each(lane, deliveries, Complete()))
    for _ in range(3):
        await asyncio.sleep(0.01)
        settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    assert broker.facts.messages(QUEUE) == []


async def test_what_was_asked_for_but_not_handed_out_goes_back_at_no_delivery_count(
    bus: Bus, send: Send, broker: EmbeddedBroker
) -> None:
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE), window=5)
    await lane.open()
    await lane.receive(wait_s=0.05)
    assert lane.credit == 5
    await send(*numbered(5))
    await broker.until(lambda facts: facts.counts(QUEUE).locked == 5)
    await lane.close()
    await broker.until(lambda facts: facts.counts(QUEUE).ready == 5)
    assert {message.delivery_count for message in broker.facts.messages(QUEUE)} == {0}


async def test_a_lane_that_is_not_open_settles_nothing_and_closes_without_a_word(bus: Bus) -> None:
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
    with pytest.raises(BusUnreachable):
        await lane.receive(wait_s=1)
    await lane.close()
    assert await lane.settle([]) == []


@pytest.mark.parametrize(
    ("queue", "advice"), [("no-such-queue", "no such queue"), ("flow-requests-ordered", "must not require sessions")]
)
async def test_a_queue_that_cannot_be_used_is_told_with_what_to_do(bus: Bus, queue: str, advice: str) -> None:
    lane = ReceiverLane(bus, QueueSource(queue=queue))
    with pytest.raises(Misconfigured, match=advice):
        await lane.open()


async def test_a_broker_that_is_away_is_unreachable(bus: Bus, broker: EmbeddedBroker) -> None:
    broker.faults.refuse_connections()
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
    with pytest.raises(BusUnreachable):
        await lane.open()
    await broker.faults.admit_connections()
    await lane.open()
    await lane.close()


async def test_a_receive_that_is_stuck_is_given_up(
    lane: ReceiverLane, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "STALLED_S", -4.8)
    with pytest.raises(BusUnreachable, match="no answer in time"):
        await lane.receive(wait_s=5)
    with pytest.raises(BusUnreachable):
        await lane.receive(wait_s=5)


async def test_requests_may_come_from_a_subscription(bus: Bus, broker: EmbeddedBroker, send: Send) -> None:
    lane = ReceiverLane(bus, SubscriptionSource(topic="flow-events", subscription="bridge"))
    await lane.open()
    await send({"message_id": "m"}, to="flow-events")
    [delivery] = await take(lane, 1)
    assert await settle_each(lane, [delivery], Complete()) == {Settled.DONE}
    assert broker.facts.messages("flow-events/Subscriptions/bridge") == []
    await lane.close()


async def test_where_locks_are_short_a_settlement_is_waited_for_no_longer_than_they_bear(
    bus: Bus, send: Send, broker: EmbeddedBroker
) -> None:
    """What comes meanwhile lies in the SDK's buffer, and must get back before its own lock ends."""
    lane = ReceiverLane(bus, QueueSource(queue="flow-requests-briefly"), lock_s=1.0)
    await lane.open()
    await send({}, to="flow-requests-briefly")
    deliveries = await take(lane, 1)
    broker.faults.drop_dispositions("flow-requests-briefly", times=1)
    assert await settle_each(lane, deliveries, Complete()) == {Settled.FAILED}
    assert asyncio.get_running_loop().time() < deliveries[0].locked_until
    await lane.close()
