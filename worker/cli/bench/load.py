"""Callers that cost little: what they send is encoded once, what they get is read no further than to know it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Final, NamedTuple

from worker.cli.bench.job import REPLIES, REQUESTS
from worker.cli.bench.wire import End
from worker.emulator.amqp import events
from worker.emulator.amqp.decode import decode
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.message import (
    APPLICATION_PROPERTIES,
    DATA,
    PROPERTIES,
    Properties,
    encode_properties,
    encode_section,
    spans,
)
from worker.emulator.amqp.performatives import RECEIVER, SENDER

BODY: Final = b'{"order": "' + b"x" * 487 + b'"}'  # 500 bytes, as most requests are
STALLED_S: Final = 30.0
WARM_UP_S: Final = 3.0  # from the first reply, at most
MEASURED_S: Final = 5.0  # at most

_PLACEHOLDER: Final = "################"
_CORRELATION_ID: Final = 5  # its place among a message's properties
_numbers = count(1)  # of all callers of this process: a broker that detects duplicates knows ids for long


class Stalled(Exception):
    """No reply came for as long as `STALLED_S`."""


class WrongReply(Exception):
    """The text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What happened while it was measured."""

    took_s: float
    cpu_s: float
    latencies_ms: tuple[float, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Conversation:
    """What is asked with one reply session. `in_flight`: by message id, when each was sent."""

    head: bytes
    tail: bytes
    in_flight: dict[str, float] = field(default_factory=dict)


class Heard(NamedTuple):
    """A reply. `at`: by perf_counter."""

    conversation: Conversation
    at: float
    latency_ms: float


def conversation(session_id: str) -> Conversation:
    properties = Properties(
        message_id=_PLACEHOLDER, reply_to=REPLIES, content_type="application/json", reply_to_group_id=session_id
    )
    encoded = (
        encode_properties(properties)
        + encode_section(APPLICATION_PROPERTIES, {"timeout-s": 600})
        + encode_section(DATA, BODY)
    )
    head, _, tail = encoded.partition(_PLACEHOLDER.encode())
    return Conversation(head=head, tail=tail)


def read_reply(payload: bytes) -> tuple[object, object]:
    """Its correlation id, and the outcome where it says one. Raises DecodeError."""
    correlation_id = outcome = None
    for span in spans(payload):
        if span.section == PROPERTIES:
            properties = decode(payload, span.value)[0]
            if isinstance(properties, list) and len(properties) > _CORRELATION_ID:
                correlation_id = properties[_CORRELATION_ID]
        elif span.section == APPLICATION_PROPERTIES:
            told = decode(payload, span.value)[0]
            outcome = told.get("outcome") if isinstance(told, dict) else None
            break
    return correlation_id, outcome


class Caller(End):
    """Asks, and takes replies that the broker deletes as it delivers them."""

    def __init__(self) -> None:
        super().__init__()
        self._conversations: dict[Link, Conversation] = {}
        self._unsent: deque[Conversation] = deque()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._heard_at = 0.0
        self._in_flight = 0

    async def open(self, *, sessions: int, window: int, outcome: str | None = None) -> None:
        """`window`: replies that may be on their way in one session. `outcome`: what each reply has to say."""
        self._window, self._outcome = window, outcome
        self._requests = await self.attach(REQUESTS, role=SENDER)
        for _ in range(sessions):
            session_id = f"caller-{next(_numbers)}"
            link = await self.attach(REPLIES, role=RECEIVER, session_id=session_id, has_settled=True)
            self.session.grant_credit(link, window)
            self._conversations[link] = conversation(session_id)

    def ask(self, conversation: Conversation) -> None:
        """At once, or as soon as the broker gives credit."""
        self._in_flight += 1
        self._unsent.append(conversation)
        self.on_credit(self._requests)

    def on_credit(self, link: Link) -> None:
        while self._unsent and link.credit:
            conversation, number = self._unsent.popleft(), next(_numbers)
            message_id = f"{number:016x}"
            payload = b"".join((conversation.head, message_id.encode(), conversation.tail))
            conversation.in_flight[message_id] = perf_counter()
            self.session.send(link, payload, tag=number.to_bytes(8, "big"), is_settled=True)

    def on_delivery(self, delivery: events.DeliveryReceived) -> None:
        now, link = perf_counter(), delivery.link
        conversation = self._conversations[link]
        correlation_id, outcome = read_reply(delivery.payload)
        sent_at = conversation.in_flight.pop(str(correlation_id), None)
        if sent_at is None:
            self.lose(WrongReply(f"a reply came to {correlation_id!r}, which isn't asked or has its reply already"))
        elif self._outcome is not None and outcome != self._outcome:
            self.lose(WrongReply(f"a reply was {outcome!r} instead of {self._outcome!r}"))
        elif not delivery.payload.endswith(BODY):
            self.lose(WrongReply("a reply didn't hold what the flow had answered"))
        else:
            self._heard_at = now
            self._in_flight -= 1
            if link.credit <= self._window // 2:
                self.session.grant_credit(link, self._window)
            self.on_reply(Heard(conversation, now, (now - sent_at) * 1000))

    def on_reply(self, heard: Heard) -> None:
        """It is the right one."""
        raise NotImplementedError

    async def until_over(self, stalled_s: float) -> None:
        """Raises Stalled, WrongReply or ConnectionError."""
        self._heard_at = perf_counter()
        while not self._over.done():
            left_s = self._heard_at + stalled_s - perf_counter()
            if left_s <= 0:
                raise Stalled(f"no reply came for {stalled_s:g} s")
            await self.until(self._over, timeout_s=left_s)


class ClosedLoop(Caller):
    """Keeps so many requests in flight: asks again whenever a reply has come."""

    async def run(
        self,
        *,
        in_flight: int,
        warm_up: int,
        count: int,
        cpu_s: Callable[[], float],
        warm_up_s: float = WARM_UP_S,
        measured_s: float = MEASURED_S,
        stalled_s: float = STALLED_S,
    ) -> Window:
        """Measures `count` replies after `warm_up`, or as many as come in time; then waits for the rest.

        Needs `open` before. Raises Stalled, WrongReply or ConnectionError.
        """
        self._left, self._count, self._cpu_s = warm_up, count, cpu_s
        self._warm_up_s, self._measured_s = warm_up_s, measured_s
        self._latencies_ms: list[float] = []
        self._first_at: float | None = None
        self._began: tuple[float, float] | None = None
        self._measured: Window | None = None
        conversations = list(self._conversations.values())
        for number in range(in_flight):
            self.ask(conversations[number % len(conversations)])
        self.flush()
        await self.until_over(stalled_s)
        assert self._measured is not None  # noqa: S101 - what it is over for
        return self._measured

    def on_reply(self, heard: Heard) -> None:
        if self._measured is None:
            self._measure(heard.at, heard.latency_ms)
        if self._measured is None:
            self.ask(heard.conversation)
        elif not self._in_flight:
            self._over.set_result(None)

    def _measure(self, now: float, latency_ms: float) -> None:
        if self._began is None:
            self._first_at = self._first_at or now
            self._left -= 1
            if self._left <= 0 or now - self._first_at >= self._warm_up_s:
                self._began = now, self._cpu_s()
            return
        self._latencies_ms.append(latency_ms)
        began_at, used_s = self._began
        if len(self._latencies_ms) == self._count or now - began_at >= self._measured_s:
            self._measured = Window(
                took_s=now - began_at, cpu_s=self._cpu_s() - used_s, latencies_ms=tuple(self._latencies_ms)
            )


class Paced(Caller):
    """Asks at a steady rate, from one session, whatever becomes of the requests before."""

    async def run(self, *, per_s: float, skipped: int, count: int, stalled_s: float = STALLED_S) -> tuple[float, ...]:
        """Latencies in ms of `count` requests behind the first `skipped`. Needs `open` before; raises as ClosedLoop."""
        (self._conversation,) = self._conversations.values()
        self._latencies_ms: list[float] = []
        self._per_s, self._asked, self._total, self._skipped = per_s, 0, skipped + count, skipped
        self._started = self._loop.time()
        self._ask_next()
        await self.until_over(stalled_s)
        return tuple(self._latencies_ms)

    def _ask_next(self) -> None:
        if self.is_lost:
            return
        self.ask(self._conversation)
        self.flush()
        self._asked += 1
        if self._asked < self._total:
            self._loop.call_at(self._started + self._asked / self._per_s, self._ask_next)

    def on_reply(self, heard: Heard) -> None:
        """Those of the first requests come first, all but for a few."""
        if self._skipped:
            self._skipped -= 1
        else:
            self._latencies_ms.append(heard.latency_ms)
        if self._asked == self._total and not self._in_flight:
            self._over.set_result(None)
