"""Looking at what lies in a queue, without locks and without harm. Raises `BusFailure`."""

import asyncio
import random
import traceback
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, BusUnreachable
from worker.servicebus.connect import TRY_S, Bus, QueueSource, Source, SubscriptionSource
from worker.servicebus.convert import Instant, to_delivery
from worker.servicebus.failures import Unreadable, explain
from worker.servicebus.links import discard, open_link
from worker.servicebus.pauses import pause_s
from worker.servicebus.shielding import to_the_end

AT_ONCE: Final = 250  # messages; the broker gives no more, and fewer where they are large
TRIES: Final = 5
_SUFFIX: Final = "/$DeadLetterQueue"
_SEQUENCE_NUMBER: Final = b"x-opt-sequence-number"
_LONG, _SMALL_LONG = 0x81, 0x55  # AMQP's constructors


def dead_letters_of(source: Source) -> Source:
    """Its dead-letter queue, which has no sessions, whatever the source has."""
    match source:
        case QueueSource(queue=queue):
            return QueueSource(queue=f"{queue}{_SUFFIX}")
        case SubscriptionSource(topic=topic, subscription=subscription):
            return SubscriptionSource(topic=topic, subscription=f"{subscription}{_SUFFIX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """`dead_letter_source`: the queue that it died in, where messages are forwarded into this one."""

    delivery: Delivery
    dead_letter_source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`unreadable`: sequence numbers of messages that the SDK can't decode."""

    messages: tuple[Peeked, ...] = ()
    unreadable: tuple[int, ...] = ()


class Browser:
    """One link that only peeks, inside its `async with`. Locked messages are seen, too."""

    def __init__(self, bus: Bus, source: Source) -> None:
        self._bus = bus
        self._source = source
        self._receiver: ServiceBusReceiver | None = None

    async def __aenter__(self) -> Self:
        self._receiver = await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def pages(self, *, first: int = 1, at_once: int = AT_ONCE) -> AsyncIterator[Page]:
        """From sequence number `first` on, to the end."""
        while True:
            page, following = await self._page(first, at_once)
            if following is None:
                return
            yield page
            first = following

    async def at(self, sequence_number: int) -> Peeked | None:
        """The message of this number. Raises `Unreadable` where it is one that can't be decoded."""
        page, _ = await self._page(sequence_number, 1)
        if sequence_number in page.unreadable:
            raise Unreadable(f"Looking at number {sequence_number} of {self._source}")
        found = [each for each in page.messages if each.delivery.sequence_number == sequence_number]
        return found[0] if found else None

    async def which_of(self, sequence_numbers: Collection[int]) -> set[int]:
        """Those that are still there, locked or not."""
        wanted, there = set(sequence_numbers), set[int]()
        if not wanted:
            return there
        async for page in self.pages(first=min(wanted)):
            seen = {each.delivery.sequence_number for each in page.messages} | set(page.unreadable)
            there |= seen & wanted
            if max(seen) >= max(wanted):
                break
        return there

    async def arrived(self, message_ids: Collection[str]) -> set[str]:
        """Those that are there."""
        wanted, there = set(message_ids), set[str]()
        async for page in self.pages():
            there |= wanted & {each.delivery.message_id or "" for each in page.messages}
            if len(there) == len(wanted):
                break
        return there

    async def _page(self, first: int, at_once: int) -> tuple[Page, int | None]:
        """And the number that the next one begins with; None where there is nothing from `first` on."""
        failures = 0
        while True:
            try:
                messages = await self._peek(first, at_once)
            except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape
                failure = explain(error, f"Looking at {self._source}")
                if isinstance(failure, Unreadable) and (interrupted := _interrupted(error)) is not None:
                    return interrupted
                failures += 1
                await self._try_again(failure, failures)
            else:
                page = Page(messages=_peeked(messages))
                return page, page.messages[-1].delivery.sequence_number + 1 if page.messages else None

    async def _peek(self, first: int, at_once: int) -> list[ServiceBusReceivedMessage]:
        if self._receiver is None:
            self._receiver = await self._open()
        with self._bus.limits.until(self._bus.limits.loop.time() + 2 * TRY_S):
            return await self._receiver.peek_messages(
                max_message_count=at_once, sequence_number=max(1, first), timeout=TRY_S
            )

    async def _try_again(self, failure: BusFailure, failures: int) -> None:
        await self._drop()
        if failures >= TRIES or not isinstance(failure, BusUnreachable):
            raise failure
        await asyncio.sleep(pause_s(failures, draw=random.random()))  # noqa: S311 - jitter, not a secret

    async def _open(self) -> ServiceBusReceiver:
        return await open_link(self._bus.receiver(self._source), f"Opening {self._source}")

    async def _drop(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            await to_the_end(discard(receiver))


def _peeked(messages: Sequence[ServiceBusReceivedMessage]) -> tuple[Peeked, ...]:
    now = Instant.now()
    return tuple(
        Peeked(delivery=to_delivery(message, now), dead_letter_source=message.dead_letter_source)
        for message in messages
    )


def _interrupted(error: Exception) -> tuple[Page, int] | None:
    """What the SDK had decoded when it came across a message that it can't decode, and the number after that one.

    The SDK gives up all that was peeked, and nothing but the failure knows of it, by where it was raised; without it
    the only way on would be to try numbers.
    """
    inner = getattr(error, "inner_exception", None) or error
    for frame, _ in traceback.walk_tb(inner.__traceback__):
        if frame.f_code.co_name == "parse_received_message":
            decoded, encoded = frame.f_locals.get("parsed"), frame.f_locals.get("m")
            payload = encoded.get(b"message") if isinstance(encoded, dict) else None
            number = None if payload is None else _sequence_number_in(bytes(payload))
            if number is None or not isinstance(decoded, list):
                return None
            return Page(messages=_peeked(decoded), unreadable=(number,)), number + 1
    return None


def _sequence_number_in(payload: bytes) -> int | None:
    """Of an encoded message: the annotation's value stands behind its name."""
    _, found, value = payload.partition(_SEQUENCE_NUMBER)
    if not found or not value:
        return None
    if value[0] == _LONG:
        return int.from_bytes(value[1:9], "big", signed=True)
    return value[1] if value[0] == _SMALL_LONG else None
