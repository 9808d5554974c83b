"""A client made of the engine and a socket: it can say what no SDK says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.events import (
    ConnectionClosed,
    ConnectionOpened,
    DeliveryReceived,
    DetachAnswered,
    DispositionReceived,
    Event,
    LinkAttached,
    LinkDetached,
    SaslFinished,
    SessionBegun,
)
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.message import (
    AMQP_VALUE,
    APPLICATION_PROPERTIES,
    DATA,
    Properties,
    encode_properties,
    encode_section,
    read_data,
    read_sections,
    read_value,
)
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    DeliveryState,
    Map,
    SaslInit,
    Source,
    Target,
)
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.types import Symbol

Told = TypeVar("Told", bound=Event)
PATIENCE_S = 5.0
SESSION_FILTER = Symbol("com.microsoft:session-filter")


class RawClient(asyncio.Protocol):
    """Every event is kept; `told` waits for one and takes it out."""

    def __init__(self) -> None:
        self.engine = Connection(is_server=False, now=0.0)
        self.events: list[Event] = []
        self.received = b""
        self.is_lost = asyncio.Event()
        self.was_reset = False
        self._news = asyncio.Event()
        self._names = count()
        self._tags = count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received = (self.received + data)[-10_000:]
        self.engine.receive_data(data, 0.0)
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
        self.flush()
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.was_reset = isinstance(exc, ConnectionResetError)
        self.is_lost.set()

    def flush(self) -> None:
        self.transport.write(self.engine.data_to_send())

    async def told(self, kind: type[Told], matches: Callable[[Told], bool] = lambda _: True) -> Told:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and matches(event):
                        self.events.remove(event)
                        return event
                self._news.clear()
                await self._news.wait()

    async def heard(self, data: bytes) -> None:
        """These bytes, among the last that came."""
        async with asyncio.timeout(PATIENCE_S):
            while data not in self.received:
                self._news.clear()
                await self._news.wait()

    @property
    def session(self) -> Session:
        return self.engine.session(0)

    async def greet(self, *, mechanism: str = "ANONYMOUS", response: bytes = b"") -> bool:
        self.engine.start(sasl=SaslInit(mechanism, response, "localhost"))
        self.flush()
        if not (await self.told(SaslFinished)).is_accepted:
            return False
        self.engine.open("raw-client")
        self.engine.begin()
        self.flush()
        await self.told(ConnectionOpened)
        await self.told(SessionBegun)
        return True

    async def attach(self, *, role: bool, source: Source, target: Target, **options: Any) -> Link:
        link = self.session.attach(f"link-{next(self._names)}", role=role, source=source, target=target, **options)
        self.flush()
        await self.told(LinkAttached, lambda event: event.link is link)
        return link

    async def sender(self, entity: str, **options: Any) -> Link:
        link = await self.attach(role=SENDER, source=Source("me"), target=Target(entity), **options)
        async with asyncio.timeout(PATIENCE_S):
            while not link.credit and link.lifecycle.is_open:
                self._news.clear()
                await self._news.wait()
        return link

    async def receiver(self, entity: str, *, credit: int = 0, filters: Map | None = None, **options: Any) -> Link:
        source = Source(entity, filter=filters)
        link = await self.attach(role=RECEIVER, source=source, target=Target("me"), **options)
        if credit:
            self.session.grant_credit(link, credit)
            self.flush()
        return link

    def put(self, link: Link, payload: bytes, **options: Any) -> int:
        delivery_id = self.session.send(link, payload, tag=next(self._tags).to_bytes(4, "big"), **options)
        self.flush()
        return delivery_id

    async def send(self, link: Link, payload: bytes, **options: Any) -> DeliveryState | None:
        """The outcome."""
        delivery_id = self.put(link, payload, **options)
        told = await self.told(
            DispositionReceived, lambda event: (event.link, event.delivery_id) == (link, delivery_id)
        )
        return told.state

    async def receive(self, link: Link) -> DeliveryReceived:
        return await self.told(DeliveryReceived, lambda event: event.link is link)

    async def settle(self, delivery: DeliveryReceived, state: DeliveryState) -> DeliveryState | None:
        """The server's answer."""
        self.session.dispose(delivery.link, delivery.delivery_id, state, is_settled=False)
        self.flush()
        told = await self.told(DispositionReceived, lambda event: event.delivery_id == delivery.delivery_id)
        assert told.is_settled
        return told.state

    async def detached(self, link: Link) -> LinkDetached:
        return await self.told(LinkDetached, lambda event: event.link is link)

    async def detach(self, link: Link) -> None:
        self.session.detach(link)
        self.flush()
        await self.told(DetachAnswered, lambda event: event.link is link)

    async def closed(self) -> ConnectionClosed:
        return await self.told(ConnectionClosed)


class Requests:
    """A pair of links to a node that answers requests."""

    def __init__(self, client: RawClient, node: str) -> None:
        self._client = client
        self._node = node

    async def open(self) -> "Requests":
        self._answers = await self._client.receiver(self._node, credit=100)
        self._asks = await self._client.sender(self._node)
        return self

    async def ask(self, properties: Map, body: object, *, message_id: object = None) -> tuple[Map, Any, object]:
        """The answer's application properties, its body and its correlation id."""
        request = (
            encode_properties(Properties(message_id or uuid4(), reply_to=self._answers.name))
            + encode_section(APPLICATION_PROPERTIES, properties)
            + encode_section(AMQP_VALUE, body)
        )
        assert await self._client.send(self._asks, request) == Accepted()
        answer = (await self._client.receive(self._answers)).payload
        told = read_value(answer, APPLICATION_PROPERTIES)
        assert isinstance(told, dict)
        return told, read_value(answer, AMQP_VALUE), read_sections(answer).properties.correlation_id

    async def manage(self, operation: str, **fields: object) -> tuple[int, Any]:
        """Status and body; an underscore stands for a hyphen."""
        body = {name.replace("_", "-"): value for name, value in fields.items()}
        told, answer, _ = await self.ask({"operation": f"com.microsoft:{operation}"}, body)
        status = told["statusCode"]
        assert isinstance(status, int)
        return status, answer if status < 300 else told.get("errorCondition")


@asynccontextmanager
async def unconnected(port: int) -> AsyncIterator[RawClient]:
    """A TCP connection on which nothing was said."""
    _, client = await asyncio.get_running_loop().create_connection(RawClient, "127.0.0.1", port)
    try:
        yield client
    finally:
        client.transport.abort()
        await client.is_lost.wait()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    async with unconnected(port) as client:
        await client.greet()
        yield client


def message(body: bytes = b"body", *, message_id: object = "id", session_id: str | None = None) -> bytes:
    return encode_properties(Properties(message_id, group_id=session_id)) + encode_section(DATA, body)


def body_of(delivery: DeliveryReceived) -> bytes:
    return b"".join(read_data(delivery.payload))


def lock_token(delivery: DeliveryReceived) -> UUID:
    return UUID(bytes_le=delivery.tag)
