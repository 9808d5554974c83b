import asyncio

import pytest
from emulator.server.raw import RawClient, connected, message

from worker.emulator.amqp.performatives import Accepted
from worker.emulator.broker import Complete, EntityNotFoundError, QueueProperties, Topology
from worker.emulator.server import Delivered, EmbeddedBroker, Enqueued, Facts, Settled


async def test_connections_and_links_are_counted(client: RawClient, broker: EmbeddedBroker) -> None:
    await client.sender("plain")
    async with connected(broker.port) as other:
        await other.receiver("plain")
        assert (broker.facts.connections, broker.facts.links) == (2, 2)
    await broker.until(lambda facts: facts.connections == 1)
    assert broker.facts.links == 1


async def test_the_history_tells_a_messages_way_in_order(client: RawClient, broker: EmbeddedBroker) -> None:
    await client.send(await client.sender("PLAIN"), message(message_id="m"))
    await client.settle(await client.receive(await client.receiver("plain", credit=1)), Accepted())
    enqueued, delivered, settled = broker.facts.history
    assert isinstance(enqueued, Enqueued)
    assert isinstance(delivered, Delivered)
    assert isinstance(settled, Settled)
    assert {record.message_id for record in (enqueued, delivered, settled)} == {"m"}
    assert {record.entity for record in (enqueued, delivered, settled)} == {"plain"}
    assert settled.settlement == Complete()
    assert settled.refusal is None
    assert enqueued.at <= delivered.at <= settled.at


async def test_a_history_may_be_left_out() -> None:
    queue = Topology(queues=(QueueProperties(name="plain"),))
    async with EmbeddedBroker(queue, keeps_history=False) as broker, connected(broker.port) as client:
        await client.send(await client.sender("plain"), message())
        assert not broker.facts.history


async def test_waiting_ends_when_it_is_so(client: RawClient, broker: EmbeddedBroker) -> None:
    waiting = asyncio.create_task(broker.until(lambda facts: facts.counts("plain").ready == 1))
    await client.send(await client.sender("plain"), message())
    await waiting


async def test_waiting_has_an_end(broker: EmbeddedBroker) -> None:
    with pytest.raises(TimeoutError):
        await broker.until(lambda facts: facts.connections == 1, timeout_s=0.01)


async def test_what_a_condition_raises_reaches_who_waits(client: RawClient, broker: EmbeddedBroker) -> None:
    def asks_for_the_unknown(facts: Facts) -> bool:
        return facts.counts("nowhere").ready == 0

    with pytest.raises(EntityNotFoundError):
        await broker.until(asks_for_the_unknown)


async def test_a_broker_that_ended_leaves_its_port() -> None:
    queue = Topology(queues=(QueueProperties(name="plain"),))
    async with EmbeddedBroker(queue) as first, connected(first.port):
        port = first.port
    async with EmbeddedBroker(queue, port=port) as second:
        assert second.port == port


async def test_two_hundred_connections_at_once(broker: EmbeddedBroker) -> None:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(RawClient, "127.0.0.1", broker.port))[1] for _ in range(200)]
    await asyncio.gather(*(each.greet() for each in clients))
    senders = await asyncio.gather(*(each.sender("plain") for each in clients))
    outcomes = await asyncio.gather(*(each.send(link, message()) for each, link in zip(clients, senders, strict=True)))
    assert set(outcomes) == {Accepted()}
    assert broker.facts.connections == 200
    for each in clients:
        each.transport.abort()
        await each.is_lost.wait()
