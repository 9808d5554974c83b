"""Putting dead letters where they come to lie, through the SDK."""

import asyncio
from typing import Any, Final

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

DESCRIPTION: Final = "unavailable, 4 attempts: nobody answered"
_REASON: Final = "buried-for"  # the property that a message has on its way
_FOR_ALL: Final = "FlowUnavailable"


async def bury(client: ServiceBusClient, queue: str, *messages: dict[str, Any], receivers: int = 1) -> None:
    """Each given as its fields, and its `reason`. The queue must be empty, and nobody else may read from it."""
    made = [_message(dict(fields)) for fields in messages]
    shares = [len(made[number::receivers]) for number in range(receivers)]
    async with client.get_queue_sender(queue) as sender:
        for first in range(0, len(made), 100):
            await sender.send_messages(made[first : first + 100])
        await asyncio.gather(*(_bury(client.get_queue_receiver(queue), share) for share in shares))


def _message(fields: dict[str, Any]) -> ServiceBusMessage:
    reason = fields.pop("reason", None)
    properties = fields.pop("application_properties", {})
    marked = properties if reason is None else {**properties, _REASON: reason}
    return ServiceBusMessage(**{"body": b'{"n":1}', "application_properties": marked, **fields})


async def _bury(receiver: ServiceBusReceiver, count: int) -> None:
    async with receiver:
        while count:
            taken = await receiver.receive_messages(max_message_count=min(50, count), max_wait_time=5)
            for message in taken:
                reason = (message.application_properties or {}).get(_REASON.encode(), _FOR_ALL.encode())
                assert isinstance(reason, bytes)
                await receiver.dead_letter_message(message, reason=reason.decode(), error_description=DESCRIPTION)
            count -= len(taken)
