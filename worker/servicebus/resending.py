"""Sending copies of dead letters, in batches, each once: whoever asks decides what becomes of what is in doubt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import TracebackType
from typing import Final, Self

from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from worker.core.failures import BusFailure
from worker.core.redelivery import Copy
from worker.servicebus.connect import TRY_S, Bus
from worker.servicebus.failures import explain, is_refused_for_good
from worker.servicebus.links import discard, open_link
from worker.servicebus.outgoing import Outgoing, of_copy, to_message
from worker.servicebus.shielding import to_the_end

MOST_IN_BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    copy: Copy
    why: str


@dataclass(slots=True, kw_only=True)
class Resent:
    """`in_doubt`: the broker may have them or not; `unsent`: surely not. Both only with a `failure` of the link."""

    sent: list[Copy] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    in_doubt: list[Copy] = field(default_factory=list)
    unsent: list[Copy] = field(default_factory=list)
    failure: BusFailure | None = None


class Resender:
    """One sender on `queue`, inside its `async with`. It bears one send at a time."""

    def __init__(self, bus: Bus, queue: str) -> None:
        self._bus = bus
        self._queue = queue
        self._sender: ServiceBusSender | None = None

    async def __aenter__(self) -> Self:
        self._sender = await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def send(self, copies: Sequence[Copy], *, announce: Callable[[Sequence[Copy]], None]) -> Resent:
        """Stops at the first failure of the link, which is made anew when there is something to send again.

        `announce`: told of each batch at the last moment, when it is ready to go.
        """
        resent = Resent(unsent=list(copies))
        try:
            sender = self._sender = self._sender or await self._open()
        except BusFailure as failure:
            resent.failure = failure
            return resent
        # How a broker takes a batch of several sessions, or partition keys, isn't known for every kind of queue.
        now = self._bus.limits.loop.time()
        groups = groupby(sorted(copies, key=_group_of), key=_group_of)
        batches = [batch for _, group in groups for batch in _cut(list(group))]
        for batch in batches:
            left = batch
            while left and resent.failure is None:
                left = await self._send_some(sender, left, resent, now, announce)
        if resent.failure is not None:
            await self._drop()
        return resent

    async def _send_some(
        self,
        sender: ServiceBusSender,
        copies: Sequence[Copy],
        resent: Resent,
        now: float,
        announce: Callable[[Sequence[Copy]], None],
    ) -> Sequence[Copy]:
        """As many of these as fit into one batch; returns the others."""
        messages = [_outgoing(copy, now) for copy in copies]
        try:
            payload, count = await _filled(sender, messages)
        except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape
            resent.failure = explain(error, f"Sending to queue '{self._queue}'")
            return copies
        announce(copies[:count])
        if not await self._transmit(sender, payload, copies[:count], resent):
            # One of them is at fault, and none was taken: find it by sending each alone.
            for copy, message in zip(copies[:count], messages[:count], strict=True):
                if resent.failure is None:
                    await self._transmit(sender, to_message(message), [copy], resent)
        return copies[count:]

    async def _transmit(
        self,
        sender: ServiceBusSender,
        payload: ServiceBusMessageBatch | AmqpAnnotatedMessage,
        copies: Sequence[Copy],
        resent: Resent,
    ) -> bool:
        """False: several together were refused."""
        ended = {copy.message_id for copy in copies}
        try:
            with self._bus.limits.until(self._bus.limits.loop.time() + TRY_S):
                await sender.send_messages(payload)
        except Exception as error:  # noqa: BLE001 - the SDK lets errors of every kind escape
            failure = explain(error, f"Sending to queue '{self._queue}'")
            if not isinstance(error, MessageSizeExceededError) and not is_refused_for_good(error):
                resent.failure = failure
                resent.in_doubt += copies
            elif len(copies) > 1:
                return False
            else:
                resent.refused.append(Refusal(copy=copies[0], why=str(failure)))
        else:
            resent.sent += copies
        resent.unsent = [copy for copy in resent.unsent if copy.message_id not in ended]
        return True

    async def _open(self) -> ServiceBusSender:
        return await open_link(self._bus.sender(self._queue), f"Opening a sender on queue '{self._queue}'")

    async def _drop(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await to_the_end(discard(sender))


def _group_of(copy: Copy) -> tuple[str, str]:
    return copy.original.session_id or "", copy.original.partition_key or ""


def _cut(copies: Sequence[Copy]) -> list[Sequence[Copy]]:
    return [copies[first : first + MOST_IN_BATCH] for first in range(0, len(copies), MOST_IN_BATCH)]


def _outgoing(copy: Copy, now: float) -> Outgoing:
    """At once: nothing is to wait for."""
    return replace(of_copy(copy, now=now), enqueue_at=None)


async def _filled(
    sender: ServiceBusSender, messages: Sequence[Outgoing]
) -> tuple[ServiceBusMessageBatch | AmqpAnnotatedMessage, int]:
    """The first message alone, or as many as one batch holds, and how many they are."""
    if len(messages) > 1:
        batch = await sender.create_message_batch()
        for message in messages:
            try:
                batch.add_message(to_message(message))
            except MessageSizeExceededError:
                break
        if len(batch) > 1:  # the limit of a batch may be below that of one message
            return batch, len(batch)
    return to_message(messages[0]), 1
