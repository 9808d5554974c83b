"""What the SDK asks the broker for, and when: lanes count on it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from worker.core.settlement import Complete, Settled
from worker.emulator.server import EmbeddedBroker
from worker.servicebus.connect import Bus, QueueSource
from worker.servicebus.lanes import ReceiverLane

QUEUE = "flow-requests"
Send = Callable[..., Awaitable[None]]


@pytest.fixture(params=[2, 8])
async def lane(request: pytest.FixtureRequest, bus: Bus) -> AsyncIterator[ReceiverLane]:
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE), window=request.param)
    await lane.open()
    yield lane
    await lane.close()


async def test_nothing_is_asked_for_before_the_first_receive_and_a_window_in_it(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send(*({} for _ in range(20)))
    assert lane.credit == 0
    assert broker.facts.counts(QUEUE).locked == 0
    assert len(await lane.receive(wait_s=5)) == 1
    assert lane.credit == lane.window - 1
    await broker.until(lambda facts: facts.counts(QUEUE).locked == lane.window)


async def test_no_more_is_asked_for_until_all_of_the_window_was_received(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    """Settling and renewing read from the same connection."""
    await send(*({} for _ in range(20)))
    received = await lane.receive(wait_s=5)
    while lane.credit:
        received += await lane.receive(wait_s=5)
    assert len(received) == lane.window
    assert await lane.renew_lock(received[0]) is not None
    assert await lane.settle([(delivery, Complete()) for delivery in received]) == [Settled.DONE] * lane.window
    await asyncio.sleep(0.1)  # nothing would tell that it was asked for
    assert broker.facts.counts(QUEUE).locked == 0
    await lane.receive(wait_s=5)
    await broker.until(lambda facts: facts.counts(QUEUE).locked == lane.window)


async def test_what_comes_while_a_settlement_is_made_waits_for_the_next_receive(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [first] = await lane.receive(wait_s=5)
    await send({})
    await broker.until(lambda facts: facts.counts(QUEUE).locked == 2)
    assert await lane.settle([(first, Complete())]) == [Settled.DONE]
    assert broker.facts.counts(QUEUE).locked == 1
    [second] = await lane.receive(wait_s=5)
    assert second.delivery_count == 0
    assert await lane.settle([(second, Complete())]) == [Settled.DONE]
    assert broker.facts.messages(QUEUE) == []


async def test_a_receive_that_brought_nothing_is_gone_on_with_by_the_next(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    assert await lane.receive(wait_s=0.05) == []
    assert lane.credit == lane.window
    await send(*({} for _ in range(20)))
    await broker.until(lambda facts: facts.counts(QUEUE).locked == lane.window)
    assert len(await lane.receive(wait_s=5)) == 1
    assert lane.credit == lane.window - 1
    await asyncio.sleep(0.1)  # nothing would tell that it was asked for
    assert broker.facts.counts(QUEUE).locked == lane.window


async def test_nothing_more_is_asked_for_when_one_of_several_was_there_already(
    bus: Bus, send: Send, broker: EmbeddedBroker
) -> None:
    """The SDK waits for as many as it was asked for beside those that it had, and asks on for them."""
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE), window=3)
    await lane.open()
    await send({})
    [first] = await lane.receive(wait_s=5)
    await send({})
    await broker.until(lambda facts: facts.counts(QUEUE).locked == 2)
    assert await lane.settle([(first, Complete())]) == [Settled.DONE]  # reads the second, too
    await send(*({} for _ in range(5)))
    lane._appetite.size = 2
    in_hand = await lane.receive(wait_s=5)
    await asyncio.sleep(0.1)  # nothing would tell that it was asked for
    assert broker.facts.counts(QUEUE).locked <= len(in_hand) + lane.credit
    await lane.close()
