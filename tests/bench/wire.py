"""Clients on the emulator's own engine: one connection with one session each, and as little else as goes."""

import asyncio
from itertools import count
from typing import Final, Self, cast

from bench.feeding import BODY
from bench.rig import Progress

from worker.emulator.amqp import events
from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.message import DATA, Properties, encode_properties, encode_section
from worker.emulator.amqp.performatives import RECEIVER, SENDER, Accepted, SaslInit, Source, Target
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.types import Symbol

SESSION: Final = "s1"
_DATA: Final = encode_section(DATA, BODY)
_SESSION_FILTER: Final = Symbol("com.microsoft:session-filter")
_numbers = count(1)


class End(asyncio.Protocol):
    """What comes is for its kind to hear: a delivery, or that the broker has confirmed one."""

    session: Session

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Connection(is_server=False, now=self._loop.time())
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self._opening: dict[Link, asyncio.Future[None]] = {}
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._loss: Exception | None = None

    @classmethod
    async def connected(cls, port: int) -> Self:
        _, end = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        await end.until(end._begun)
        return end

    async def until(self, awaited: asyncio.Future[None]) -> None:
        """Raises what the connection is lost for, if that comes first."""
        await asyncio.wait({awaited, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if self._loss is not None:
            raise self._loss

    @property
    def is_lost(self) -> bool:
        return self._loss is not None

    async def attach(self, queue: str, *, role: bool, session_id: str | None = None) -> Link:
        """Ready to be used: with the broker's credit, if it is a sender."""
        chosen = None if session_id is None else {_SESSION_FILTER: session_id}
        source = Source(queue if role is RECEIVER else "here", filter=cast("dict[object, object] | None", chosen))
        target = Target(queue if role is SENDER else "here")
        link = self.session.attach(f"{queue}-{next(_numbers)}", role=role, source=source, target=target)
        opened = self._opening[link] = self._loop.create_future()
        self.flush()
        await self.until(opened)
        return link

    def send(self, link: Link, *, session_id: str | None = None) -> None:
        number = next(_numbers)
        properties = encode_properties(Properties(message_id=f"message-{number}", group_id=session_id))
        self.session.send(link, properties + _DATA, tag=number.to_bytes(8, "big"))

    def complete(self, delivery: events.DeliveryReceived, *, window: int) -> None:
        """`window`: the credit that the link is kept in, renewed when half of it is spent."""
        self.session.dispose(delivery.link, delivery.delivery_id, Accepted(), is_settled=False)
        if delivery.link.credit <= window // 2:
            self.session.grant_credit(delivery.link, window)

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        """A message came."""

    def on_confirmed(self, link: Link) -> None:
        """The broker has accepted a message, or its completion."""

    def flush(self) -> None:
        self._transport.write(self._engine.data_to_send())

    def close(self) -> None:
        self._transport.close()

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._engine.start(sasl=SaslInit("ANONYMOUS", b""))
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._engine.receive_data(data, self._loop.time())
        while (event := self._engine.next_event()) is not None:
            self._hear(event)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or ConnectionError("The broker closed the connection."))

    def _hear(self, event: events.Event) -> None:
        match event:
            case events.DeliveryReceived():
                self.on_delivery(event)
            case events.DispositionReceived(link=link, state=Accepted()):
                self.on_confirmed(link)
            case events.LinkAttached(link=link) | events.CreditChanged(link=link):
                if link in self._opening and (link.role is RECEIVER or link.credit):
                    self._opening.pop(link).set_result(None)
            case events.SaslFinished():
                self._engine.open("bench")
                self.session = self._engine.begin()
            case events.SessionBegun():
                self._begun.set_result(None)
            case events.ConnectionOpened() | events.WindowOpened():
                pass
            case _:
                self._lose(ConnectionError(f"The broker said {event}."))

    def _lose(self, loss: Exception) -> None:
        if not self._lost.done():
            self._loss = loss
            self._lost.set_result(None)


class Responder(End):
    """Answers every request: reply first, then complete."""

    async def serve(self, *, window: int) -> None:
        self._window = window
        self._replies = await self.attach("flow-replies", role=SENDER)
        requests = await self.attach("flow-requests", role=RECEIVER)
        self.session.grant_credit(requests, window)
        self.flush()

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        self.send(self._replies, session_id=SESSION)
        self.complete(delivery, window=self._window)


class Caller(End):
    """Keeps so many requests under way: asks again whenever the completion of a reply is confirmed."""

    async def ask(self, progress: Progress, *, in_flight: int, window: int) -> None:
        """Until the rounds are over and every request has had its reply."""
        self._progress, self._window, self._under_way = progress, window, in_flight
        self._all_answered: asyncio.Future[None] = self._loop.create_future()
        self._requests = await self.attach("flow-requests", role=SENDER)
        self._replies = await self.attach("flow-replies", role=RECEIVER, session_id=SESSION)
        self.session.grant_credit(self._replies, window)
        for _ in range(in_flight):
            self.send(self._requests)
        self.flush()
        await self.until(self._all_answered)

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        self.complete(delivery, window=self._window)

    def on_confirmed(self, link: Link) -> None:
        if link is not self._replies:
            return
        self._progress.count()
        if self._progress.done < self._progress.whole:
            self.send(self._requests)
            return
        self._under_way -= 1
        if not self._under_way:
            self._all_answered.set_result(None)


class Filler(End):
    """Fills a queue, with as many messages under way as the broker gives credit for."""

    async def fill(self, queue: str, messages: int) -> None:
        self._unsent = self._unconfirmed = messages
        self._filled: asyncio.Future[None] = self._loop.create_future()
        self._link = await self.attach(queue, role=SENDER)
        self._send_more()
        self.flush()
        await self.until(self._filled)

    def on_confirmed(self, link: Link) -> None:
        self._unconfirmed -= 1
        if not self._unconfirmed:
            self._filled.set_result(None)
        self._send_more()

    def _send_more(self) -> None:
        while self._unsent and self._link.credit:
            self.send(self._link)
            self._unsent -= 1
