"""AMQP in web sockets, on the same port."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage, TransportType
from azure.servicebus.aio import ServiceBusClient
from emulator.server.over_websocket import ENDPOINT, SUBPROTOCOL, in_websocket
from emulator.server.raw import RawClient, body_of, connected, message

from worker.emulator.amqp.events import ConnectionClosed
from worker.emulator.amqp.performatives import Accepted
from worker.emulator.broker import MessageCounts
from worker.emulator.server import EmbeddedBroker

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # the SDK's

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
}


@pytest.fixture
async def client(broker: EmbeddedBroker) -> AsyncIterator[RawClient]:
    async with in_websocket(broker.port) as (raw, _):
        await raw.greet()
        yield raw


async def test_the_python_sdk_sends_receives_and_settles(broker: EmbeddedBroker) -> None:
    async with ServiceBusClient.from_connection_string(
        broker.connection_string,
        transport_type=TransportType.AmqpOverWebsocket,
        custom_endpoint_address=f"sb://127.0.0.1:{broker.port}",
    ) as sdk:
        async with sdk.get_queue_sender("plain") as sender:
            await sender.send_messages(ServiceBusMessage(b"x" * 200_000, message_id="m"))
        async with sdk.get_queue_receiver("plain", socket_timeout=0.02) as receiver:
            (received,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert b"".join(received.body) == b"x" * 200_000
            await receiver.complete_message(received)
    assert broker.facts.counts("plain") == MessageCounts()
    await broker.until(lambda facts: facts.connections == 0)


@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
async def test_where_messages_begin_and_end_says_nothing_about_frames(broker: EmbeddedBroker, piece_bytes: int) -> None:
    async with in_websocket(broker.port, piece_bytes=piece_bytes) as (client, _):
        await client.greet()
        assert await client.send(await client.sender("plain"), message(b"y" * 3_000)) == Accepted()
        delivery = await client.receive(await client.receiver("plain", credit=1))
        assert body_of(delivery) == b"y" * 3_000
        assert await client.settle(delivery, Accepted()) == Accepted()


async def test_a_client_that_closes_is_answered_and_then_its_web_socket_is_closed(broker: EmbeddedBroker) -> None:
    async with in_websocket(broker.port) as (client, socket):
        await client.greet()
        client.engine.close()
        client.flush()
        assert await client.told(ConnectionClosed) == ConnectionClosed(None)
        await client.is_lost.wait()
        assert socket.close_code == aiohttp.WSCloseCode.OK
    await broker.until(lambda facts: facts.connections == 0)


async def test_a_web_socket_that_is_closed_takes_its_links_along(broker: EmbeddedBroker) -> None:
    async with in_websocket(broker.port) as (client, socket):
        await client.greet()
        await client.receiver("plain", credit=1)
        await broker.until(lambda facts: (facts.connections, facts.links) == (1, 1))
        await socket.close()
        await broker.until(lambda facts: (facts.connections, facts.links) == (0, 0))


async def test_both_kinds_of_connection_share_the_port_and_the_queues(
    client: RawClient, broker: EmbeddedBroker
) -> None:
    async with connected(broker.port) as plain:
        await plain.send(await plain.sender("plain"), message(b"over TCP"))
        assert body_of(await client.receive(await client.receiver("plain", credit=1))) == b"over TCP"
        assert broker.facts.connections == 2


async def test_a_message_of_text_closes_the_web_socket(broker: EmbeddedBroker) -> None:
    async with in_websocket(broker.port) as (client, socket):
        await socket.send_str("AMQP")
        await client.is_lost.wait()
        assert socket.close_code == aiohttp.WSCloseCode.UNSUPPORTED_DATA


@pytest.mark.parametrize(
    ("path", "changes", "status", "said"),
    [
        ("/", {}, 404, f"There is only {ENDPOINT} here"),
        (ENDPOINT + "/more", {}, 404, f"There is only {ENDPOINT} here"),
        (ENDPOINT, {"Upgrade": "h2c"}, 426, "Expected an upgrade to a web socket"),
        (ENDPOINT, {"Sec-WebSocket-Protocol": "mqtt, amqp"}, 400, "Expected the subprotocol AMQPWSB10"),
        (ENDPOINT, {"Sec-WebSocket-Protocol": ""}, 400, "got none"),
        (ENDPOINT, {"Sec-WebSocket-Version": "1"}, 400, "Unsupported version: 1"),
        (ENDPOINT, {"Sec-WebSocket-Key": "short"}, 400, "Handshake error"),
    ],
)
async def test_what_is_no_proper_upgrade_is_told_so_and_closed(
    broker: EmbeddedBroker, path: str, changes: dict[str, str], status: int, said: str
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in {**UPGRADE, **changes}.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    async with asyncio.timeout(5):
        answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert said in answer
    await broker.until(lambda facts: facts.connections == 0)


@pytest.mark.parametrize("noise", [b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET nonsense\r\n\r\n", b"HELO x\r\n\r\n"])
async def test_other_http_is_answered_as_such(broker: EmbeddedBroker, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(noise)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))


async def test_half_a_request_keeps_nothing_up(broker: EmbeddedBroker) -> None:
    """Least of all the broker's end, in the fixture."""
    _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b"GET ")
    await broker.until(lambda facts: facts.connections == 1)
    broker.faults.cut_connections()
    await broker.until(lambda facts: facts.connections == 0)
    writer.close()


class TestFaults:
    @pytest.mark.parametrize("resets", [True, False])
    async def test_a_connection_is_cut(self, client: RawClient, broker: EmbeddedBroker, resets: bool) -> None:
        await client.sender("plain")
        assert broker.faults.cut_connections(entity="plain", resets=resets) == 1
        await client.is_lost.wait()
        await broker.until(lambda facts: facts.connections == 0)

    async def test_a_silent_connection_says_nothing_until_it_speaks_again(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        sender = await client.sender("plain")
        assert broker.faults.silence_connections() == 1
        sending = asyncio.create_task(client.send(sender, message()))
        async with in_websocket(broker.port) as (other, _):
            await other.greet()
            await other.sender("plain")
        assert not sending.done()
        assert broker.facts.counts("plain") == MessageCounts()
        broker.faults.end_silence()
        assert await sending == Accepted()

    async def test_a_silent_connection_is_not_heard_to_be_closed_either(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        broker.faults.silence_connections()
        client.engine.close()
        client.flush()
        async with connected(broker.port):
            assert broker.facts.connections == 2
        broker.faults.end_silence()
        assert await client.told(ConnectionClosed) == ConnectionClosed(None)

    async def test_links_are_detached(self, client: RawClient, broker: EmbeddedBroker) -> None:
        sender = await client.sender("plain")
        assert broker.faults.detach_links("plain", condition="com.microsoft:server-busy") == 1
        detached = await client.detached(sender)
        assert detached.error is not None
        assert detached.error.condition == "com.microsoft:server-busy"

    async def test_the_answer_to_a_send_is_lost_with_the_connection(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        broker.faults.cut_after_sends("plain", times=1)
        client.put(await client.sender("plain"), message())
        await client.is_lost.wait()
        assert broker.facts.counts("plain").ready == 1


async def test_more_than_fits_on_the_way_comes_whole(client: RawClient) -> None:
    """Past the water mark of the transport, so that sending is paused and goes on."""
    sender = await client.sender("plain")
    for _ in range(20):
        assert await client.send(sender, message(b"z" * 200_000)) == Accepted()
    receiver = await client.receiver("plain", credit=20)
    for _ in range(20):
        assert len(body_of(await client.receive(receiver))) == 200_000
