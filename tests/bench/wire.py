"""Clients on the emulator's own engine: one connection with one session each, and as little else as goes."""

import asyncio
from itertools import count
from typing import Final

from bench.feeding import BODY
from bench.rig import Progress

from worker.cli.bench.wire import End
from worker.emulator.amqp import events
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.message import DATA, Properties, encode_properties, encode_section
from worker.emulator.amqp.performatives import RECEIVER, SENDER, Accepted

SESSION: Final = "s1"
_DATA: Final = encode_section(DATA, BODY)
_numbers = count(1)


class Speaker(End):
    """Sends messages of its own, and completes what comes."""

    def send(self, link: Link, *, session_id: str | None = None) -> None:
        number = next(_numbers)
        properties = encode_properties(Properties(message_id=f"message-{number}", group_id=session_id))
        self.session.send(link, properties + _DATA, tag=number.to_bytes(8, "big"))

    def complete(self, delivery: events.DeliveryReceived, *, window: int) -> None:
        """`window`: the credit that the link is kept in, renewed when half of it is spent."""
        self.session.dispose(delivery.link, delivery.delivery_id, Accepted(), is_settled=False)
        if delivery.link.credit <= window // 2:
            self.session.grant_credit(delivery.link, window)


class Responder(Speaker):
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


class Caller(Speaker):
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


class Filler(Speaker):
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
