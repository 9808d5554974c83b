"""Links of the Python SDK for tests to share: the SDK takes half a second to open one, and another to close it."""

import asyncio
import time
from typing import Any, Final, TypeVar
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

Link = TypeVar("Link", ServiceBusSender, ServiceBusReceiver)

PATIENCE_S: Final = 30.0
"""For what must come: a namespace far away may take its time."""


async def receive(receiver: ServiceBusReceiver, *message_ids: str) -> list[ServiceBusReceivedMessage]:
    """These messages, in the order they came. Others, left over from a test that failed, are completed."""
    missing = set(message_ids)
    found: list[ServiceBusReceivedMessage] = []
    give_up_at = time.monotonic() + PATIENCE_S
    while missing:
        for message in await receiver.receive_messages(max_message_count=len(missing), max_wait_time=1):
            if message.message_id in missing:
                missing.remove(message.message_id)
                found.append(message)
            else:
                await receiver.complete_message(message)
        if time.monotonic() > give_up_at:
            pytest.fail(f"{sorted(missing)} did not come to {receiver.entity_path} within {PATIENCE_S} s")
    return found


async def is_kept(receiver: ServiceBusReceiver, sequence_number: int) -> bool:
    """Whether the entity still has the message, locked, deferred and scheduled ones too."""
    found = await receiver.peek_messages(max_message_count=1, sequence_number=sequence_number)
    return [message.sequence_number for message in found] == [sequence_number]


def number_of(message: ServiceBusReceivedMessage) -> int:
    assert message.sequence_number is not None
    return message.sequence_number


class Channel:
    """An entity, to send to and to receive from."""

    def __init__(self, sender: ServiceBusSender, receiver: ServiceBusReceiver) -> None:
        self.sender = sender
        self.receiver = receiver

    async def send(self, body: str | bytes = "", **fields: Any) -> str:
        """Answers with the id of the message."""
        message_id: str = fields.pop("message_id", None) or uuid4().hex
        await self.sender.send_messages(ServiceBusMessage(body, message_id=message_id, **fields))
        return message_id

    async def receive(self, message_id: str) -> ServiceBusReceivedMessage:
        (message,) = await receive(self.receiver, message_id)
        return message

    async def keeps(self, sequence_number: int) -> bool:
        return await is_kept(self.receiver, sequence_number)


class Links:
    """Of one client, open until the end of the module.

    Shared where nothing speaks against it, also because a receiver that asked for more than came still has credit:
    it would take what the next one waits for.
    """

    def __init__(self, client: ServiceBusClient, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[str, ServiceBusReceiver] = {}
        self._opened: list[ServiceBusSender | ServiceBusReceiver] = []

    def name(self, entity: str) -> str:
        return self._prefix + entity

    async def channel(self, queue: str) -> Channel:
        if queue not in self._receivers:
            _, self._receivers[queue] = await asyncio.gather(self.sender(queue), self.receiver(queue))
        return Channel(await self.sender(queue), self._receivers[queue])

    async def sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = await self._open(self._client.get_queue_sender(self.name(queue)))
        return self._senders[queue]

    async def topic_sender(self, topic: str) -> ServiceBusSender:
        if topic not in self._senders:
            self._senders[topic] = await self._open(self._client.get_topic_sender(self.name(topic)))
        return self._senders[topic]

    async def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        """One of the test's own."""
        return await self._open(self._client.get_queue_receiver(self.name(queue), **options))

    async def dead_letters(self, queue: str) -> ServiceBusReceiver:
        path = f"{queue}/$DeadLetterQueue"
        if path not in self._receivers:
            self._receivers[path] = await self.receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        return self._receivers[path]

    async def subscription(
        self, topic: str, subscription: str, sub_queue: ServiceBusSubQueue | None = None
    ) -> ServiceBusReceiver:
        path = f"{topic}/{subscription}/{sub_queue}"
        if path not in self._receivers:
            self._receivers[path] = await self._open(
                self._client.get_subscription_receiver(self.name(topic), subscription, sub_queue=sub_queue)
            )
        return self._receivers[path]

    async def _open(self, link: Link) -> Link:
        await link.__aenter__()
        self._opened.append(link)
        return link

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._opened))
        await self._client.close()
