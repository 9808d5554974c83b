import asyncio
from collections.abc import Awaitable, Callable

import pytest

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable
from worker.core.settlement import Abandon, Complete, LeaveLocked, Settled
from worker.emulator.server import EmbeddedBroker
from worker.servicebus.connect import Bus, QueueSource
from worker.servicebus.session_lanes import SessionLane

QUEUE, BRIEFLY = "flow-requests-ordered", "flow-requests-ordered-briefly"
Send = Callable[..., Awaitable[None]]
Closing = list[Callable[[], Awaitable[None]]]
Open = Callable[..., Awaitable[SessionLane]]


@pytest.fixture
async def opened(bus: Bus, closing: Closing) -> Open:
    async def opened(queue: str = QUEUE) -> SessionLane:
        lane = SessionLane(bus, QueueSource(queue=queue))
        await lane.open()
        closing.append(lane.close)
        return lane

    return opened


async def take(lane: SessionLane, *, within_s: float = 10.0) -> Delivery:
    async with asyncio.timeout(within_s):
        while not (deliveries := await lane.receive(most=1, wait_s=1)):
            pass
    [delivery] = deliveries
    return delivery


async def test_each_session_is_worked_on_in_its_order_and_left_when_it_has_no_more(opened: Open, send: Send) -> None:
    lane = await opened()
    names = [f"{session}{number}" for number in range(3) for session in "ab"]
    await send(*({"session_id": name[0], "message_id": name} for name in names), to=QUEUE)
    seen = ""
    for _ in names:
        delivery = await take(lane)
        seen += delivery.message_id or ""
        assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]
    assert seen in {"a0a1a2b0b1b2", "b0b1b2a0a1a2"}


async def test_an_abandoned_message_comes_again_before_its_successors(opened: Open, send: Send) -> None:
    lane = await opened()
    await send({"session_id": "s", "message_id": "first"}, {"session_id": "s", "message_id": "second"}, to=QUEUE)
    await lane.settle([(await take(lane), Abandon())])
    again = await take(lane)
    assert (again.message_id, again.delivery_count, again.session_id) == ("first", 1, "s")


async def test_two_lanes_never_share_a_session(opened: Open, send: Send) -> None:
    one, other = await opened(), await opened()
    await send({"session_id": "s"}, {"session_id": "s"}, to=QUEUE)
    held = await take(one)
    assert await other.receive(most=1, wait_s=1) == []
    await one.settle([(held, Complete())])


async def test_no_session_is_no_failure(opened: Open) -> None:
    lane = await opened()
    assert await lane.receive(most=1, wait_s=0.1) == []
    assert lane.credit == 0


async def test_the_lock_is_the_sessions_and_can_be_renewed(opened: Open, send: Send) -> None:
    lane = await opened(BRIEFLY)
    await send({"session_id": "s"}, to=BRIEFLY)
    delivery = await take(lane)
    loop = asyncio.get_running_loop()
    while loop.time() < delivery.locked_until + 0.2:
        assert await lane.renew_lock(delivery) is not None
        assert await lane.receive(most=1, wait_s=0.2) == []
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]


async def test_with_the_session_goes_the_lock(opened: Open, send: Send, broker: EmbeddedBroker) -> None:
    lane = await opened()
    await send({"session_id": "s"}, to=QUEUE)
    delivery = await take(lane)
    broker.faults.lose_session_lock(QUEUE, "s")
    assert await lane.settle([(delivery, Complete())]) == [Settled.LOCK_LOST]
    await lane.open()
    again = await take(lane)
    assert await lane.settle([(again, Complete())]) == [Settled.DONE]


async def test_after_a_lost_connection_the_lane_is_opened_again(
    opened: Open, send: Send, broker: EmbeddedBroker
) -> None:
    lane = await opened()
    await send({"session_id": "s"}, to=QUEUE)
    delivery = await take(lane)
    broker.faults.cut_connections()
    with pytest.raises(BusUnreachable):
        await lane.receive(most=1, wait_s=1)
    await lane.open()
    assert await lane.renew_lock(delivery) is None
    assert await lane.settle([(delivery, Complete())]) == [Settled.LOCK_LOST]
    assert await lane.settle([(await take(lane), LeaveLocked())]) == [Settled.DONE]
