"""TLS below AMQP and below web sockets, with a certificate made for the test."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage, TransportType
from azure.servicebus.aio import ServiceBusClient
from contract import javascript
from contract.topology import read_topology
from emulator.server.conftest import TOPOLOGY
from emulator.server.raw import RawClient, body_of, message
from flow.certificates import ThrowAwayAuthority

from worker.emulator.amqp.performatives import Accepted
from worker.emulator.broker import MessageCounts
from worker.emulator.server import EmbeddedBroker

IN_JAVASCRIPT = (
    "a message of many frames arrives whole",
    "a batch arrives as single messages in order",
    "several sessions are held on one connection",
    "a completed message is gone",
    "an abandoned message comes again with its delivery counted and its changed properties",
    "receiving more than there is drains the link and leaves later messages to others",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayAuthority:
    return ThrowAwayAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def broker(authority: ThrowAwayAuthority) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(TOPOLOGY, tls=authority.server_context("127.0.0.1")) as running:
        yield running


@pytest.fixture
async def client(broker: EmbeddedBroker, authority: ThrowAwayAuthority) -> AsyncIterator[RawClient]:
    async with connected(broker, authority) as raw:
        yield raw


@asynccontextmanager
async def connected(broker: EmbeddedBroker, authority: ThrowAwayAuthority) -> AsyncIterator[RawClient]:
    trust = ssl.create_default_context(cafile=authority.pem)
    _, raw = await asyncio.get_running_loop().create_connection(RawClient, "127.0.0.1", broker.port, ssl=trust)
    await raw.greet()
    yield raw
    raw.transport.abort()
    await raw.is_lost.wait()


def sdk_of(broker: EmbeddedBroker, trust: ssl.SSLContext, kind: TransportType) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(
        broker.connection_string,
        transport_type=kind,
        custom_endpoint_address=f"sb://127.0.0.1:{broker.port}",
        ssl_context=trust,
        retry_total=0,
    )


@pytest.mark.parametrize("kind", [TransportType.Amqp, TransportType.AmqpOverWebsocket])
async def test_the_python_sdk_sends_receives_and_settles(
    broker: EmbeddedBroker, authority: ThrowAwayAuthority, kind: TransportType
) -> None:
    async with sdk_of(broker, ssl.create_default_context(cafile=authority.pem), kind) as sdk:
        async with sdk.get_queue_sender("plain") as sender:
            await sender.send_messages(ServiceBusMessage(b"x" * 200_000))
        async with sdk.get_queue_receiver("plain", socket_timeout=0.02) as receiver:
            (received,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert b"".join(received.body) == b"x" * 200_000
            await receiver.complete_message(received)
    assert broker.facts.counts("plain") == MessageCounts()
    await broker.until(lambda facts: facts.connections == 0)


async def test_the_connection_string_asks_for_tls(broker: EmbeddedBroker) -> None:
    assert f"sb://127.0.0.1:{broker.port};" in broker.connection_string
    assert "UseDevelopmentEmulator" not in broker.connection_string


@pytest.mark.parametrize("first", [b"AMQP\0\1\0\0", b"GET /$servicebus/websocket HTTP/1.1\r\n\r\n"])
async def test_who_speaks_without_tls_is_closed_and_disturbs_nobody(
    client: RawClient, broker: EmbeddedBroker, first: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(first)
    async with asyncio.timeout(5):
        assert b"AMQP" not in await reader.read()
    writer.close()
    assert await client.send(await client.sender("plain"), message()) == Accepted()
    assert broker.facts.connections == 1


@pytest.mark.parametrize("resets", [True, False])
async def test_a_connection_is_cut(client: RawClient, broker: EmbeddedBroker, resets: bool) -> None:
    assert broker.faults.cut_connections(resets=resets) == 1
    await client.is_lost.wait()
    await broker.until(lambda facts: facts.connections == 0)


async def test_a_silent_connection_says_nothing_until_it_speaks_again(
    client: RawClient, broker: EmbeddedBroker, authority: ThrowAwayAuthority
) -> None:
    sender = await client.sender("plain")
    broker.faults.silence_connections()
    sending = asyncio.create_task(client.send(sender, message(b"x" * 200_000)))
    async with connected(broker, authority) as other:
        await other.sender("plain")
    assert not sending.done()
    broker.faults.end_silence()
    assert await sending == Accepted()


async def test_more_than_fits_on_the_way_comes_whole(client: RawClient) -> None:
    sender = await client.sender("plain")
    for _ in range(20):
        assert await client.send(sender, message(b"z" * 200_000)) == Accepted()
    receiver = await client.receiver("plain", credit=20)
    for _ in range(20):
        assert len(body_of(await client.receive(receiver))) == 200_000


@pytest.mark.timeout(300)  # the first one installs the SDK
@pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs the JavaScript SDK, is not installed")
@pytest.mark.parametrize("in_web_sockets", [False, True])
async def test_the_javascript_sdk_finds_its_way(
    authority: ThrowAwayAuthority, in_web_sockets: bool, tmp_path: Path
) -> None:
    await asyncio.to_thread(javascript.install)
    environment = {"NODE_EXTRA_CA_CERTS": str(authority.pem)}
    if in_web_sockets:
        options = os.environ.get("NODE_OPTIONS", "")
        environment |= {"CONTRACT_WEBSOCKETS": "1", "NODE_OPTIONS": f"{options} --experimental-websocket"}
    tls = authority.server_context("127.0.0.1")
    async with EmbeddedBroker(read_topology(), tls=tls, keeps_history=False) as broker:
        driver = await javascript.Driver.start(
            connection_string=broker.connection_string, prefix="contract.", environment=environment
        )
        for sentence in IN_JAVASCRIPT:
            failure = await driver.play(sentence)
            assert failure is None, failure
        await driver.end()
