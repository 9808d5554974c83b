"""A session lane over the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from support.unreadable import put_unreadable

from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable, Misconfigured, SessionLost
from worker.core.settlement import Abandon, Complete, LeaveLocked, Settled
from worker.emulator.server import EmbeddedBroker
from worker.servicebus.connect import Bus, QueueSource, SubscriptionSource
from worker.servicebus.session_lanes import MOST_KEPT, ReceiverSessionLane

QUEUE = "flow-requests-ordered"
Send = Callable[..., Awaitable[None]]


@pytest.fixture
async def lane(bus: Bus) -> AsyncIterator[ReceiverSessionLane]:
    lane = ReceiverSessionLane(bus, QueueSource(queue=QUEUE))
    yield lane
    await lane.hand_back(is_uncalled=True)
    await lane.close()


async def put(send: Send, *session_ids: str) -> None:
    await send(*({"session_id": session_id} for session_id in session_ids), to=QUEUE)


async def taken(lane: ReceiverSessionLane) -> Delivery:
    delivery = await lane.receive(wait_s=5)
    assert delivery is not None
    return delivery


async def test_no_session_within_the_wait_is_no_failure(lane: ReceiverSessionLane) -> None:
    assert not await lane.accept(wait_s=0.2)


async def test_a_session_is_received_in_order_and_settled(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    await put(send, "a", "a", "a")
    assert await lane.accept(wait_s=5)
    assert asyncio.get_running_loop().time() + 50 < lane.locked_until
    numbers = []
    for _ in range(3):
        delivery = await taken(lane)
        numbers.append(delivery.sequence_number)
        assert delivery.session_id == "a"
        assert await lane.settle(Complete()) is Settled.DONE
    assert numbers == sorted(numbers)
    assert await lane.receive(wait_s=0.1) is None
    assert broker.facts.messages(QUEUE) == []


async def test_a_session_that_comes_free_later_is_waited_for(lane: ReceiverSessionLane, send: Send) -> None:
    accepting = asyncio.ensure_future(lane.accept(wait_s=10))
    await put(send, "a")
    assert await accepting


async def test_waiting_for_a_session_can_be_cancelled(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    accepting = asyncio.ensure_future(lane.accept(wait_s=10))
    await broker.until(lambda facts: facts.links > 2)  # beside those that carry the token
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    await put(send, "a")
    assert await lane.accept(wait_s=5)


async def test_what_is_handed_back_uncalled_comes_again_at_no_delivery_count_and_leaves_no_note(
    lane: ReceiverSessionLane, send: Send
) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await lane.begin(await taken(lane))
    await lane.hand_back(is_uncalled=True)
    assert await lane.accept(wait_s=5)
    assert (await taken(lane)).delivery_count == 0


async def test_what_is_handed_back_in_doubt_counts_as_delivered(lane: ReceiverSessionLane, send: Send) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await lane.begin(await taken(lane))
    await lane.hand_back(is_uncalled=False)
    assert await lane.accept(wait_s=5)
    await lane.hand_back(is_uncalled=False)  # by who never looked at it
    assert await lane.accept(wait_s=5)
    assert (await taken(lane)).delivery_count == 1


async def test_what_is_settled_leaves_no_note(lane: ReceiverSessionLane, send: Send) -> None:
    await put(send, "a", "a")
    assert await lane.accept(wait_s=5)
    await lane.begin(await taken(lane))
    assert await lane.settle(Complete()) is Settled.DONE
    await lane.hand_back(is_uncalled=False)
    assert await lane.accept(wait_s=5)
    assert (await taken(lane)).delivery_count == 0


async def test_what_was_begun_by_a_holder_that_died_counts_as_delivered(
    bus: Bus, lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    await put(send, "a", "a")
    for times in range(3):
        dying = ReceiverSessionLane(bus, QueueSource(queue=QUEUE))
        assert await dying.accept(wait_s=5)
        delivery = await taken(dying)
        assert delivery.delivery_count == times
        await dying.begin(delivery)
        broker.faults.cut_connections(entity=QUEUE)
        await dying.close()
    assert await lane.accept(wait_s=5)
    assert (await taken(lane)).delivery_count == 3
    assert await lane.settle(Complete()) is Settled.DONE
    assert (await taken(lane)).delivery_count == 0, "the next one was never begun"


async def test_an_abandoned_request_comes_first_again_at_one_delivery_count(
    lane: ReceiverSessionLane, send: Send
) -> None:
    await put(send, "a", "a")
    assert await lane.accept(wait_s=5)
    counts = []
    for _ in range(3):
        delivery = await taken(lane)
        counts.append((delivery.sequence_number, delivery.delivery_count))
        await lane.begin(delivery)
        assert await lane.settle(Abandon()) is Settled.DONE
    first = counts[0][0]
    assert counts == [(first, 0), (first, 1), (first, 2)]


async def test_a_lost_connection_loses_the_session_and_another_is_accepted(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    broker.faults.cut_connections(entity=QUEUE)
    assert not await lane.renew_lock()
    assert await lane.settle(Complete()) is Settled.LOCK_LOST
    with pytest.raises(SessionLost):
        await lane.receive(wait_s=1)
    assert await lane.accept(wait_s=5)
    await taken(lane)
    assert await lane.settle(Complete()) is Settled.DONE


async def test_a_lost_session_is_told_by_its_renewal_and_by_a_settlement(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    assert await lane.renew_lock()
    broker.faults.lose_session_lock(QUEUE, "a")
    assert not await lane.renew_lock()
    assert await lane.accept(wait_s=5)
    await taken(lane)
    broker.faults.lose_session_lock(QUEUE, "a")
    assert await lane.settle(Complete()) is not Settled.DONE
    assert broker.facts.counts(QUEUE).ready == 1


async def test_a_settlement_that_is_not_confirmed_is_in_doubt_and_loses_the_session(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.servicebus.session_lanes.SETTLE_S", 0.2)
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    broker.faults.drop_answers(QUEUE, times=1)
    assert await lane.settle(Complete()) is Settled.FAILED
    with pytest.raises(SessionLost):
        await lane.receive(wait_s=1)


async def test_what_is_left_locked_is_not_spoken_of(lane: ReceiverSessionLane, send: Send) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    assert await lane.settle(LeaveLocked()) is Settled.DONE


async def test_a_renewal_that_the_broker_was_too_busy_for_can_be_made_again(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker
) -> None:
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    broker.faults.refuse_management(QUEUE, times=1)
    with pytest.raises(BusUnreachable):
        await lane.renew_lock()
    assert await lane.renew_lock()
    assert await lane.settle(Complete()) is Settled.DONE


async def test_more_unreadable_messages_than_links_that_wait_for_them_are_let_go(
    bus: Bus, broker: EmbeddedBroker
) -> None:
    for number in range(6):
        await put_unreadable(broker, QUEUE, session_id=f"s{number}", message_id=f"m{number}")
    lane = ReceiverSessionLane(bus, QueueSource(queue=QUEUE))
    for _ in range(6):
        assert await lane.accept(wait_s=5)
        with pytest.raises(SessionLost):
            await lane.receive(wait_s=1)
    await broker.until(lambda facts: facts.connections <= MOST_KEPT)
    await lane.close()


async def test_a_queue_without_sessions_is_told_with_what_to_do(bus: Bus) -> None:
    lane = ReceiverSessionLane(bus, QueueSource(queue="flow-requests"))
    with pytest.raises(Misconfigured, match="request_sessions"):
        await lane.accept(wait_s=1)


async def test_a_broker_that_is_away_is_unreachable_and_one_that_is_back_is_found(
    lane: ReceiverSessionLane, broker: EmbeddedBroker, send: Send
) -> None:
    await put(send, "a")
    broker.faults.refuse_connections()
    with pytest.raises(BusUnreachable):
        await lane.accept(wait_s=1)
    await broker.faults.admit_connections()
    assert await lane.accept(wait_s=5)


async def test_no_connection_is_left_behind(bus: Bus, broker: EmbeddedBroker, send: Send) -> None:
    await put(send, "a")
    before = broker.facts.connections
    lane = ReceiverSessionLane(bus, QueueSource(queue=QUEUE))
    for _ in range(3):
        await lane.accept(wait_s=0.2)
        broker.faults.cut_connections(entity=QUEUE)
        with pytest.raises(BusUnreachable):
            await lane.begin(await taken(lane))
    await lane.close()
    await broker.until(lambda facts: facts.connections <= before)


async def test_sessions_may_come_from_a_subscription(bus: Bus, broker: EmbeddedBroker, send: Send) -> None:
    lane = ReceiverSessionLane(bus, SubscriptionSource(topic="flow-events-ordered", subscription="bridge"))
    await send({"session_id": "a"}, to="flow-events-ordered")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    assert await lane.settle(Complete()) is Settled.DONE
    await lane.close()
    assert broker.facts.messages("flow-events-ordered/Subscriptions/bridge") == []


async def test_a_message_that_cannot_be_read_is_counted_by_the_end_of_its_lock(
    bus: Bus, broker: EmbeddedBroker, send: Send
) -> None:
    queue = "flow-replies-briefly"  # it has sessions, and locks of a second
    await put_unreadable(broker, queue, session_id="a")
    await send({"session_id": "b"}, to=queue)
    lane = ReceiverSessionLane(bus, QueueSource(queue=queue))
    assert await lane.accept(wait_s=5)
    with pytest.raises(SessionLost, match="can't decode"):
        await lane.receive(wait_s=1)
    await lane.hand_back(is_uncalled=False)
    assert await lane.accept(wait_s=5)
    assert (await taken(lane)).session_id == "b", "other sessions go on at once"
    await broker.until(lambda facts: {each.delivery_count for each in facts.messages(queue)} >= {1})
    await lane.close()


async def test_a_session_whose_peer_fell_silent_is_found_out(
    lane: ReceiverSessionLane, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.servicebus.session_lanes.SILENT_S", 0.1)
    monkeypatch.setattr("worker.servicebus.receiving.ANSWER_S", 0.3)
    await put(send, "a")
    assert await lane.accept(wait_s=5)
    await taken(lane)
    await lane.settle(Complete())
    assert await lane.receive(wait_s=0.2) is None  # quiet, but it answers when asked
    broker.faults.silence_connections()
    with pytest.raises(BusUnreachable):
        await lane.receive(wait_s=0.2)
