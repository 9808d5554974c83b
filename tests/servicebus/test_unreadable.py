"""A message that the SDK can't decode: it must cost nothing but its own way to the dead letters."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from support.unreadable import UNREADABLE, put_unreadable

from worker.core.failures import BusUnreachable
from worker.core.settlement import Complete, Settled
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker
from worker.servicebus.connect import Bus, BusOptions, QueueSource
from worker.servicebus.failures import Unreadable, explain
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.reply_session import ReplySession

QUEUE, REPLIES = "flow-requests", "flow-replies"
Send = Callable[..., Awaitable[None]]


async def drained(session: ReplySession) -> None:
    while True:
        assert await session.receive() == []


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_it_is_told_and_the_lane_goes_on_at_once(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, kind: str
) -> None:
    await put_unreadable(broker, QUEUE, kind=kind)
    await send({"message_id": "other"})
    with structlog.testing.capture_logs() as logged:
        taken = await lane.receive(wait_s=5) + await lane.receive(wait_s=5)
    assert [delivery.message_id for delivery in taken] == ["other"]
    assert [entry["event"] for entry in logged] == ["message_unreadable"]
    for word in (QUEUE, "can't decode", "MaxDeliveryCountExceeded", "as bytes or as text"):
        assert word in logged[0]["failure"]
    assert await lane.settle([(taken[0], Complete())]) == [Settled.DONE]
    assert broker.facts.counts(QUEUE).locked == 1, "it waits for the end of its lock, and disturbs nobody"


async def test_what_was_in_hand_when_it_came_can_still_be_settled(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({"message_id": "in hand"})
    [delivery] = await lane.receive(wait_s=5)
    await put_unreadable(broker, QUEUE)
    assert await lane.receive(wait_s=5) == []
    assert await lane.renew_lock(delivery) is not None
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_it_may_come_in_the_midst_of_a_settlement(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, kind: str
) -> None:
    await send({"message_id": "in hand"})
    [delivery] = await lane.receive(wait_s=5)
    assert await lane.receive(wait_s=0.05) == []  # the broker may still send one
    broker.faults.delay_dispositions(QUEUE, delay_s=0.2, times=1)
    settling = asyncio.ensure_future(lane.settle([(delivery, Complete())]))
    await put_unreadable(broker, QUEUE, kind=kind)
    settled = await settling
    if settled == [Settled.FAILED]:
        await lane.open()
        settled = await lane.settle([(delivery, Complete())])
    assert settled in ([Settled.DONE], [Settled.LOCK_LOST])
    assert [found.message.message_id for found in broker.facts.messages(QUEUE)] == ["unreadable"]


async def test_it_ends_as_a_dead_letter_of_the_brokers_own_and_leaves_no_connection_behind() -> None:
    topology = Topology(queues=(QueueProperties(name=QUEUE, lock_s=0.3, max_delivery_count=3),))
    async with (
        EmbeddedBroker(topology) as broker,
        Bus(BusOptions(connection_string=broker.connection_string)) as bus,
    ):
        await put_unreadable(broker, QUEUE)
        lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
        await lane.open()
        receives = 0
        async with asyncio.timeout(20):
            while broker.facts.counts(QUEUE).dead_lettered == 0:
                assert await lane.receive(wait_s=0.2) == []
                receives += 1
                assert broker.facts.connections <= 3
        assert receives < 50, "no hot loop"
        [dead] = broker.facts.messages(f"{QUEUE}/$DeadLetterQueue")
        assert dead.added_properties["DeadLetterReason"] == "MaxDeliveryCountExceeded"
        assert await lane.receive(wait_s=0.2) == []
        await broker.until(lambda facts: facts.connections == 1)
        await lane.close()


async def test_many_of_them_do_not_keep_the_others_back_for_long(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    for number in range(3):
        await put_unreadable(broker, QUEUE, message_id=f"unreadable-{number}")
    await send({"message_id": "other"})
    seen: list[str | None] = []
    async with asyncio.timeout(20):
        while not seen:
            seen = [delivery.message_id for delivery in await lane.receive(wait_s=5)]
            assert broker.facts.connections <= 3  # the lane's, the one before it, and the sender's
    assert seen == ["other"]


async def test_a_reply_session_that_it_comes_to_is_given_up_instead_of_asked_for_ever(
    bus: Bus, broker: EmbeddedBroker
) -> None:
    await put_unreadable(broker, REPLIES, session_id="mine")
    session = ReplySession(bus, REPLIES, "mine")
    await session.open()
    with pytest.raises(BusUnreachable, match="can't decode"):
        await asyncio.wait_for(drained(session), 10)
    await session.close()


async def test_a_peek_that_comes_across_it_is_explained(bus: Bus, broker: EmbeddedBroker) -> None:
    await put_unreadable(broker, QUEUE)
    async with bus.receiver(QueueSource(queue=QUEUE)) as receiver:
        with pytest.raises(Exception, match="nesting") as raised:
            await receiver.peek_messages()
    assert isinstance(explain(raised.value, "Looking at queue 'flow-requests'"), Unreadable)
