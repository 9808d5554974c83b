"""A client on the emulator's own engine: one connection, and as little else as goes."""

import asyncio
from itertools import count
from typing import Final, Self, cast

from worker.emulator.amqp import events
from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import (
    MIXED,
    RECEIVER,
    SENDER,
    SETTLED,
    Accepted,
    SaslInit,
    Source,
    Target,
)
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.types import Symbol

_SESSION_FILTER: Final = Symbol("com.microsoft:session-filter")
_numbers = count(1)


class End(asyncio.Protocol):
    """What comes is for its kind to hear: a delivery, that the broker has confirmed one, or that it takes more."""

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
        await end.begun()
        return end

    async def begun(self) -> None:
        await self.until(self._begun)

    async def until(self, awaited: asyncio.Future[None], *, timeout_s: float | None = None) -> None:
        """Or until the time is over. Raises what the connection is lost for, if that comes first."""
        await asyncio.wait({awaited, self._lost}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._loss is not None:
            raise self._loss

    @property
    def is_lost(self) -> bool:
        return self._loss is not None

    async def attach(self, queue: str, *, role: bool, session_id: str | None = None, has_settled: bool = False) -> Link:
        """Ready to be used: with the broker's credit, if it is a sender.

        `has_settled`: what comes is settled by whoever sends it, so the broker deletes what it delivers.
        """
        chosen = None if session_id is None else {_SESSION_FILTER: session_id}
        source = Source(queue if role is RECEIVER else "here", filter=cast("dict[object, object] | None", chosen))
        target = Target(queue if role is SENDER else "here")
        mode = SETTLED if has_settled else MIXED
        name = f"{queue}-{next(_numbers)}"
        link = self.session.attach(name, role=role, source=source, target=target, snd_settle_mode=mode)
        opened = self._opening[link] = self._loop.create_future()
        self.flush()
        await self.until(opened)
        return link

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        """A message came."""

    def on_confirmed(self, link: Link) -> None:
        """The broker has accepted a message, or its completion."""

    def on_credit(self, link: Link) -> None:
        """The broker takes more, or less, of what this end sends."""

    def flush(self) -> None:
        self._transport.write(self._engine.data_to_send())

    def close(self) -> None:
        self._transport.close()

    def lose(self, loss: Exception) -> None:
        """Whoever waits, or will, hears of this."""
        if not self._lost.done():
            self._loss = loss
            self._lost.set_result(None)

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
        self.lose(exc or ConnectionError("The broker closed the connection."))

    def _hear(self, event: events.Event) -> None:
        match event:
            case events.DeliveryReceived():
                self.on_delivery(event)
            case events.DispositionReceived(link=link, state=Accepted()):
                self.on_confirmed(link)
            case events.LinkAttached(link=link) | events.CreditChanged(link=link):
                if link in self._opening and (link.role is RECEIVER or link.credit):
                    self._opening.pop(link).set_result(None)
                elif link.role is SENDER:
                    self.on_credit(link)
            case events.SaslFinished():
                self._engine.open("bench")
                self.session = self._engine.begin()
            case events.SessionBegun():
                self._begun.set_result(None)
            case events.ConnectionOpened() | events.WindowOpened():
                pass
            case _:
                self.lose(ConnectionError(f"The broker said {event}."))
