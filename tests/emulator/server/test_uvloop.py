"""The same server on the loop that the demo and the benchmark run it on."""

import asyncio

import uvloop
from emulator.server.raw import body_of, connected, message

from worker.emulator.amqp.performatives import Accepted
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker

PLAIN = Topology(queues=(QueueProperties(name="plain"),))


async def converse_and_be_cut() -> None:
    async with EmbeddedBroker(PLAIN) as broker, connected(broker.port) as client:
        assert await client.send(await client.sender("plain"), message(b"x" * 200_000)) == Accepted()
        delivery = await client.receive(await client.receiver("plain", credit=1))
        assert len(body_of(delivery)) == 200_000
        assert await client.settle(delivery, Accepted()) == Accepted()
        broker.faults.silence_connections()
        broker.faults.end_silence()
        broker.faults.cut_connections(resets=True)
        async with asyncio.timeout(5):
            await client.is_lost.wait()
        assert client.was_reset
        broker.faults.refuse_connections()
        await broker.faults.admit_connections()
        async with connected(broker.port) as another:
            await another.sender("plain")


def test_it_runs_under_uvloop() -> None:
    uvloop.run(converse_and_be_cut())
