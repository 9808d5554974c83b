"""Links of the Python SDK for tests to share: the SDK takes half a second to open one, and another to close it."""

import asyncio
import time
from typing import Any, Final, TypeVar
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
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
    """Of one client, open until the end of the module."""

    def __init__(self, client: ServiceBusClient, *, prefix: str) -> None:
        self.client = client
        self._prefix = prefix
        self._senders: dict[str, ServiceBusSender] = {}
        self._channels: dict[str, Channel] = {}
        self._opened: list[ServiceBusSender | ServiceBusReceiver] = []

    def name(self, queue: str) -> str:
        return self._prefix + queue

    async def channel(self, queue: str) -> Channel:
        if queue not in self._channels:
            sender, receiver = await asyncio.gather(self.sender(queue), self.receiver(queue))
            self._channels[queue] = Channel(sender, receiver)
        return self._channels[queue]

    async def sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = await self._open(self.client.get_queue_sender(self.name(queue)))
        return self._senders[queue]

    async def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        return await self._open(self.client.get_queue_receiver(self.name(queue), **options))

    async def topic_sender(self, topic: str) -> ServiceBusSender:
        return await self._open(self.client.get_topic_sender(self.name(topic)))

    async def subscription(self, topic: str, subscription: str, **options: Any) -> ServiceBusReceiver:
        return await self._open(self.client.get_subscription_receiver(self.name(topic), subscription, **options))

    async def _open(self, link: Link) -> Link:
        await link.__aenter__()
        self._opened.append(link)
        return link

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._opened))
        await self.client.close()
