"""Where no link comes to be: what is said of it, and that nothing stays open."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from aiohttp import web
from flow.certificates import ThrowAwayAuthority

from worker.core.failures import BusUnreachable, Misconfigured
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker
from worker.servicebus import connect
from worker.servicebus.connect import Bus, BusOptions, QueueSource
from worker.servicebus.links import open_link

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # the SDK's
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),
]
Transport: TypeAlias = Literal["amqp", "websockets"]
Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
PLAIN = "UseDevelopmentEmulator=true;"
QUEUES = Topology(queues=(QueueProperties(name="flow-requests"),))


def at(port: int, *, host: str = "127.0.0.1", more: str = PLAIN) -> str:
    return f"Endpoint=sb://{host}:{port};SharedAccessKeyName=k;SharedAccessKey=s3cret;{more}"


async def failure(connection_string: str, transport: Transport) -> str:
    async with Bus(BusOptions(connection_string=connection_string, transport=transport)) as bus:
        with pytest.raises(BusUnreachable) as raised:
            await open_link(bus.receiver(QueueSource(queue="flow-requests")), "Opening queue 'flow-requests'")
    return str(raised.value)


@pytest.fixture(params=["amqp", "websockets"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return "amqp" if request.param == "amqp" else "websockets"


async def test_a_port_where_nobody_listens(transport: Transport, unused_port: int) -> None:
    said = await failure(at(unused_port), transport)
    assert "no connection to the broker" in said
    assert str(unused_port) in said
    assert " ssl:" not in said


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x00\x09\x01"])
async def test_a_port_where_something_else_than_amqp_is_spoken(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "azure.servicebus")  # a record would keep the connection

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        said = await failure(at(server.sockets[0].getsockname()[1]), "amqp")
        gc.collect()  # the SDK forgets the connection without closing it: it has to go while there is a loop
    assert "what listens there speaks no AMQP" in said
    assert "host and port" in said


async def test_a_certificate_of_an_authority_that_nobody_named(transport: Transport, tmp_path: Path) -> None:
    async with EmbeddedBroker(QUEUES, tls=ThrowAwayAuthority(tmp_path).server_context("127.0.0.1")) as broker:
        said = await failure(broker.connection_string, transport)
    assert "not trusted here (unable to get local issuer certificate)" in said
    assert "SSL_CERT_FILE" in said


async def test_a_certificate_of_another_host(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = ThrowAwayAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    async with EmbeddedBroker(QUEUES, tls=authority.server_context("broker.example")) as broker:
        said = await failure(broker.connection_string, transport)
    assert "certificate is not valid for '127.0.0.1'" in said


async def test_a_broker_without_tls_where_tls_is_asked_for(transport: Transport) -> None:
    async with EmbeddedBroker(QUEUES) as broker:
        said = await failure(at(broker.port, more=""), transport)
    assert "no connection to the broker" in said
    assert "wrong version number" in said.lower().replace("_", " ")


async def test_a_credential_that_is_refused(transport: Transport) -> None:
    """Also where the SDK calls that a lost connection."""
    async with EmbeddedBroker(QUEUES) as broker:
        broker.faults.refuse_tokens()
        assert "refused the credential" in await failure(broker.connection_string, transport)


async def test_a_server_that_opens_no_web_socket() -> None:
    async def unavailable(_: web.BaseRequest) -> web.Response:
        return web.Response(status=503)

    async with serving(unavailable) as port:
        assert "HTTP status 503 came instead of a web socket" in await failure(at(port), "websockets")


async def test_a_web_socket_in_which_nobody_speaks_is_not_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers pings, so that nothing else would end it."""
    monkeypatch.setattr(connect, "TRY_S", 0.3)
    opened, closed = 0, asyncio.Semaphore(0)

    async def mute(request: web.BaseRequest) -> web.WebSocketResponse:
        nonlocal opened
        opened += 1
        socket = web.WebSocketResponse(protocols=("AMQPWSB10",))
        await socket.prepare(request)
        async for _ in socket:
            pass
        closed.release()
        return socket

    async with serving(mute) as port:
        gc.disable()
        try:
            assert "no answer in time" in await failure(at(port), "websockets")
            async with asyncio.timeout(5):
                await closed.acquire()
        finally:
            gc.enable()
    assert opened == 1


async def test_web_sockets_that_were_lost_are_not_reported_by_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    async with EmbeddedBroker(QUEUES) as broker:
        async with Bus(BusOptions(connection_string=broker.connection_string, transport="websockets")) as bus:
            link = await open_link(bus.receiver(QueueSource(queue="flow-requests")), "Opening")
            broker.faults.cut_connections()
            with pytest.raises(Exception, match=r"."):
                await link.receive_messages(1, max_wait_time=1)
            await link.close()
            del link
            gc.collect()
        asyncio.get_running_loop().call_exception_handler({"message": "something else"})
    said = [each.getMessage() for each in caplog.records if each.name == "asyncio" and each.levelno > logging.INFO]
    assert said == ["something else"]


@pytest.mark.parametrize("host", ["127.0.0.1:70000", "127.0.0.1:port"])
def test_a_port_that_is_none_is_told(host: str) -> None:
    with pytest.raises(Misconfigured, match="HOST:PORT"):
        Bus(BusOptions(connection_string=at(1).replace("127.0.0.1:1", host), transport="websockets"))


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    http = web.Server(handler)
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await http.shutdown(1)
