"""Connections that go at the worst moment: what was in hand is kept, and no connection is left behind."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, BusUnreachable
from worker.core.settlement import Abandon, Complete, Settled
from worker.emulator.server import EmbeddedBroker
from worker.servicebus import lanes
from worker.servicebus.connect import Bus, QueueSource
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.settling import settle

QUEUE = "flow-requests"
Send = Callable[..., Awaitable[None]]


def now() -> float:
    return asyncio.get_running_loop().time()


def numbered(count: int) -> list[dict[str, object]]:
    return [{"message_id": f"m{number}"} for number in range(count)]


async def take(lane: ReceiverLane, count: int) -> list[Delivery]:
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        deliveries += await lane.receive(wait_s=5)
    return deliveries


async def opened_again(lane: ReceiverLane) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                return await lane.open()
            except BusFailure:
                await asyncio.sleep(0)


async def until_lost(lane: ReceiverLane) -> str:
    """What is said when it is noticed."""
    async with asyncio.timeout(10):
        while True:
            try:
                await lane.receive(wait_s=0.05)
            except BusUnreachable as failure:
                return str(failure)


async def left_alone(broker: EmbeddedBroker, connections: int) -> None:
    """So many connections and no more, also after everything that was under way has ended."""
    await broker.until(lambda facts: facts.connections == connections)


@pytest.mark.parametrize("resets", [True, False])
async def test_cuts_in_the_midst_of_settlements_lose_none_and_leave_no_connection(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, resets: bool
) -> None:
    await send(*numbered(12))
    left = await take(lane, 12)
    ended: Counter[Settled] = Counter()
    broker.faults.delay_dispositions(QUEUE, delay_s=0.02)
    for _ in range(4):
        settling = asyncio.ensure_future(lane.settle([(delivery, Complete()) for delivery in left]))
        await asyncio.wait({settling}, timeout=0.05)
        broker.faults.cut_connections(entity=QUEUE, resets=resets)
        results = await settling
        ended.update(result for result in results if result is not Settled.FAILED)
        left = [each for each, result in zip(left, results, strict=True) if result is Settled.FAILED]
        await opened_again(lane)
    broker.faults.clear()
    ended.update(await lane.settle([(delivery, Complete()) for delivery in left]))
    assert broker.facts.messages(QUEUE) == []
    assert ended.total() == 12
    assert ended[Settled.FAILED] == 0
    assert ended[Settled.LOCK_LOST] <= 4  # one for each cut: applied, but the answer was cut off
    await left_alone(broker, 1)


async def test_an_answer_cut_off_is_lock_lost_when_the_settlement_is_repeated(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send(*numbered(2))
    first, second = await take(lane, 2)
    broker.faults.cut_after_dispositions(QUEUE, times=1)
    batch = [(first, Complete()), (second, Complete())]
    assert await lane.settle(batch) == [Settled.FAILED] * 2
    await lane.open()
    assert await lane.settle(batch) == [Settled.LOCK_LOST, Settled.DONE]
    await left_alone(broker, 2)  # the lane's and the sender's


async def test_cuts_in_the_midst_of_renewals_leave_lock_and_connections_as_they_were(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [delivery] = await take(lane, 1)
    for _ in range(4):
        broker.faults.silence_connections(entity=QUEUE)  # so that the cut comes while it waits for the answer
        renewing = asyncio.ensure_future(lane.renew_lock(delivery))
        await asyncio.wait({renewing}, timeout=0.05)
        broker.faults.cut_connections(entity=QUEUE)
        with pytest.raises(BusUnreachable):
            await renewing
        with pytest.raises(BusUnreachable):
            await lane.renew_lock(delivery)  # a link in doubt is not used, or the SDK would open connections of its own
        await opened_again(lane)
    assert await lane.renew_lock(delivery) is not None
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]
    await left_alone(broker, 1)


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.03, 0.06])
async def test_a_cut_in_the_midst_of_opening_leaves_nothing_open(
    bus: Bus, broker: EmbeddedBroker, wait_s: float
) -> None:
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
    opening = asyncio.ensure_future(lane.open())
    await broker.until(lambda facts: facts.connections == 1)
    await asyncio.wait({opening}, timeout=wait_s)
    broker.faults.cut_connections()
    await asyncio.wait({opening})
    assert opening.exception() is None or isinstance(opening.exception(), BusUnreachable)
    await opened_again(lane)
    assert await lane.receive(wait_s=0.05) == []
    await left_alone(broker, 1)
    await lane.close()
    await left_alone(broker, 0)


async def cancelled_opening(bus: Bus, broker: EmbeddedBroker) -> None:
    opening = asyncio.ensure_future(ReceiverLane(bus, QueueSource(queue=QUEUE)).open())
    await broker.until(lambda facts: facts.connections == 1)
    opening.cancel()
    await asyncio.wait({opening})
    assert opening.cancelled()


async def test_an_opening_that_is_cancelled_leaves_nothing_open(bus: Bus, broker: EmbeddedBroker) -> None:
    """The SDK closes no connection that has no session yet; asyncio's streams do, once they are garbage."""
    await cancelled_opening(bus, broker)
    async with asyncio.timeout(5):
        while broker.facts.connections:
            gc.collect()
            await asyncio.sleep(0)


@pytest.mark.parametrize("resets", [True, False])
async def test_cuts_in_the_midst_of_sends_lose_none_and_leave_no_connection(
    bus: Bus, broker: EmbeddedBroker, resets: bool
) -> None:
    names = [f"m{number}" for number in range(60)]
    async with Outbox(bus, "flow-replies", writers=2) as outbox:
        sends = [
            asyncio.ensure_future(outbox.send(Outgoing(body=b"", message_id=name, session_id=name), until=now() + 20))
            for name in names
        ]
        broker.faults.cut_after_sends("flow-replies", times=3)
        for _ in range(3):
            await asyncio.wait(sends, timeout=0.1)
            broker.faults.cut_connections(resets=resets)
        assert set(await asyncio.gather(*sends)) == {None}
        await left_alone(broker, 2)
    arrived = Counter(found.message.message_id for found in broker.facts.messages("flow-replies"))
    assert arrived == Counter(names), "what was sent twice has the same id, and is dropped as a duplicate"
    await left_alone(broker, 0)


async def test_however_often_it_must_be_opened_again_one_connection_is_all_a_lane_has(
    lane: ReceiverLane, broker: EmbeddedBroker
) -> None:
    for _ in range(5):
        broker.faults.detach_links(QUEUE)
        await until_lost(lane)
        await lane.open()
    await left_alone(broker, 1)


async def test_a_busy_broker_is_passing_wherever_it_says_so(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [delivery] = await take(lane, 1)
    broker.faults.refuse_attaches(QUEUE, times=2)
    for _ in range(2):
        with pytest.raises(BusUnreachable, match="on request"):
            await lane.open()
    await lane.open()
    broker.faults.detach_links(QUEUE, condition="com.microsoft:server-busy", description="wait 4 seconds")
    assert "wait 4 seconds" in await until_lost(lane)
    await lane.open()
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]


async def test_what_was_settled_already_says_the_sdk_alone_and_counts_as_done(
    bus: Bus, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    async with bus.receiver(QueueSource(queue=QUEUE)) as receiver:
        [message] = await receiver.receive_messages(1, max_wait_time=5)
        for _ in range(2):
            limit = bus.limits.until(bus.limits.loop.time() + 5)
            assert await settle(receiver, message, Complete(), limit) is Settled.DONE
    assert broker.facts.messages(QUEUE) == []


async def test_a_broker_that_never_confirms_ends_with_the_lock_and_each_try_with_its_time(
    bus: Bus, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = "flow-requests-briefly"
    monkeypatch.setattr(lanes, "SETTLE_S", 0.2)
    lane = ReceiverLane(bus, QueueSource(queue=queue), lock_s=1.0)
    await lane.open()
    await send({}, to=queue)
    [delivery] = await take(lane, 1)
    results: list[Settled] = []
    async with asyncio.timeout(10):
        while not results or results[-1] is Settled.FAILED:
            broker.faults.silence_connections(entity=queue)
            results += await lane.settle([(delivery, Abandon())])
            await lane.open()
    assert results[-1] is Settled.LOCK_LOST
    assert 1 < len(results) < 6
    await lane.close()


async def test_a_settlement_that_gets_lost_on_its_link_gets_through_on_the_next_ones_management_link(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SETTLE_S", 0.2)
    await send({})
    [delivery] = await take(lane, 1)
    broker.faults.drop_dispositions(QUEUE)
    assert await lane.settle([(delivery, Abandon())]) == [Settled.FAILED]
    await lane.open()
    assert await lane.settle([(delivery, Abandon())]) == [Settled.DONE]
    [found] = broker.facts.messages(QUEUE)
    assert found.delivery_count == 1
