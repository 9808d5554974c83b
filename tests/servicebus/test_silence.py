"""A peer that keeps its TCP connection and says nothing: the SDK itself never notices."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from worker.core.failures import BusUnreachable
from worker.core.settlement import Complete, Settled
from worker.emulator.server import EmbeddedBroker
from worker.servicebus import connect, lanes, links, receiving, reply_session, writer
from worker.servicebus.connect import Bus, BusOptions, QueueSource, SubscriptionSource
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.reply_session import ReplySession

QUEUE, REPLIES = "flow-requests", "flow-replies"
Send = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the real ones, but soon: a silent peer is asked after 0.2 s, and must answer within 0.3 s."""
    for module in (lanes, reply_session):
        monkeypatch.setattr(module, "SILENT_S", 0.2)
    monkeypatch.setattr(receiving, "ANSWER_S", 0.3)
    monkeypatch.setattr(reply_session, "ANSWER_S", 0.3)
    monkeypatch.setattr(lanes, "RENEW_S", 0.3)
    monkeypatch.setattr(writer, "FIRST_SEND_S", 0.3)


def now() -> float:
    return asyncio.get_running_loop().time()


def message(name: str) -> Outgoing:
    return Outgoing(body=b"{}", message_id=name, session_id="s")


async def noticed(lane: ReceiverLane) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                assert await lane.receive(wait_s=0.1) == []
            except BusUnreachable as failure:
                return str(failure)


async def failed_opening(bus: Bus) -> str:
    try:
        await ReceiverLane(bus, QueueSource(queue=QUEUE)).open()
    except BusUnreachable as failure:
        return str(failure)
    return "opened"


async def drained(session: ReplySession) -> None:
    while True:
        assert await session.receive() == []


@asynccontextmanager
async def mute_port() -> AsyncIterator[int]:
    """Takes connections and says nothing on them; each must be closed by its client in the end."""
    left: set[asyncio.StreamWriter] = set()

    async def take(reader: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        left.add(writing)
        await reader.read()
        left.remove(writing)
        writing.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    async with asyncio.timeout(5):
        while left:  # the SDK closes no connection that has no session yet; asyncio's streams do, once they are garbage
            gc.collect()
            await asyncio.sleep(0)


async def test_an_idle_lane_finds_it_out_and_an_answering_peer_stays(
    lane: ReceiverLane, broker: EmbeddedBroker
) -> None:
    for _ in range(3):
        assert await lane.receive(wait_s=0.25) == []
    broker.faults.silence_connections()
    assert "no answer in time" in await noticed(lane)
    await lane.open()
    await broker.until(lambda facts: facts.connections == 2)
    broker.faults.end_silence()
    await broker.until(lambda facts: facts.connections == 1)  # its own end of the silent one was closed all along


async def test_the_question_takes_no_message_and_is_not_asked_while_messages_come(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({"message_id": "first"})
    [first] = await lane.receive(wait_s=1)
    links_before = broker.facts.links
    for _ in range(2):
        assert await lane.receive(wait_s=0.15) == []
    assert broker.facts.links == links_before + 2  # those for management: it was asked now, and not before
    assert await lane.settle([(first, Complete())]) == [Settled.DONE]
    await send({"message_id": "second"})
    [second] = await lane.receive(wait_s=1)
    assert second.delivery_count == 0


async def test_a_subscription_answers_the_question_too(bus: Bus, broker: EmbeddedBroker) -> None:
    lane = ReceiverLane(bus, SubscriptionSource(topic="flow-events", subscription="bridge"))
    await lane.open()
    for _ in range(2):
        assert await lane.receive(wait_s=0.25) == []
    assert broker.facts.links > 3, "it was asked"
    await lane.close()


async def test_a_renewal_finds_it_out_and_is_made_through_the_next_link(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [delivery] = await lane.receive(wait_s=1)
    broker.faults.silence_connections(entity=QUEUE)
    started = now()
    with pytest.raises(BusUnreachable, match="no answer in time"):
        await lane.renew_lock(delivery)
    assert now() - started < 3
    await lane.open()
    assert await lane.renew_lock(delivery) is not None
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]


async def test_a_settlement_finds_it_out_and_is_made_through_the_next_link(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SETTLE_S", 0.3)
    await send({}, {})
    deliveries = [*await lane.receive(wait_s=1), *await lane.receive(wait_s=1)]
    broker.faults.silence_connections(entity=QUEUE)
    batch = [(delivery, Complete()) for delivery in deliveries]
    assert await lane.settle(batch) == [Settled.FAILED] * 2
    await lane.open()
    assert await lane.settle(batch) == [Settled.DONE] * 2
    assert broker.facts.messages(QUEUE) == []


async def test_a_send_is_repeated_through_another_sender_and_waits_longer_each_time(
    bus: Bus, broker: EmbeddedBroker
) -> None:
    async with Outbox(bus, REPLIES, writers=1) as outbox:
        assert await outbox.send(message("before"), until=now() + 10) is None
        broker.faults.silence_connections()
        started = now()
        assert await outbox.send(message("after"), until=now() + 10) is None
        assert now() - started < 5
        broker.faults.end_silence()
        await broker.until(lambda facts: facts.connections == 1)
    names = [found.message.message_id for found in broker.facts.messages(REPLIES)]
    assert names == ["before", "after"], "what the silent one had taken is a duplicate"


async def test_a_broker_that_is_only_slow_gets_the_time_it_needs(
    bus: Bus, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries that are given up too soon, by a peer that would have answered, are not all there is."""
    monkeypatch.setattr(writer, "FIRST_SEND_S", 1e-4)
    async with Outbox(bus, REPLIES, writers=1) as outbox:
        assert await outbox.send(message("m"), until=now() + 15) is None
    assert len(broker.facts.messages(REPLIES)) == 1


async def test_a_reply_session_finds_it_out_by_renewing_its_lock(bus: Bus, broker: EmbeddedBroker) -> None:
    session = ReplySession(bus, REPLIES, "mine")
    await session.open()
    assert await session.receive() == []
    assert await session.receive() == []
    broker.faults.silence_connections()
    async with asyncio.timeout(10):
        with pytest.raises(BusUnreachable):
            await drained(session)
    await session.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_opening_towards_it_is_given_up_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="azure.servicebus")  # what is logged is kept, with all it refers to
    monkeypatch.setattr(connect, "TRY_S", 0.3)
    monkeypatch.setattr(links, "OPEN_S", 0.6)
    async with mute_port() as port:
        text = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
        async with Bus(BusOptions(connection_string=text)) as bus:
            assert "no answer in time" in await failed_opening(bus)
