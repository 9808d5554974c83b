import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from worker.emulator.server import EmbeddedBroker
from worker.servicebus.connect import Bus, BusOptions, QueueSource
from worker.servicebus.lanes import ReceiverLane

Send = Callable[..., Awaitable[None]]
Closing = list[Callable[[], Awaitable[None]]]


@pytest.fixture
async def closing() -> AsyncIterator[Closing]:
    """What is to be closed at the end, all at once: each of the SDK's links takes up to a second."""
    closing: Closing = []
    yield closing
    await asyncio.gather(*(close() for close in closing))


@pytest.fixture
async def bus(broker: EmbeddedBroker) -> AsyncIterator[Bus]:
    async with Bus(BusOptions(connection_string=broker.connection_string)) as bus:
        yield bus


@pytest.fixture
async def lane(bus: Bus, closing: Closing) -> ReceiverLane:
    lane = ReceiverLane(bus, QueueSource(queue="flow-requests"))
    await lane.open()
    closing.append(lane.close)
    return lane


@pytest.fixture
async def send(broker: EmbeddedBroker, closing: Closing) -> Send:
    """Puts messages on a queue, each given as its fields, with the SDK alone."""
    client = ServiceBusClient.from_connection_string(broker.connection_string)
    senders: dict[str, ServiceBusSender] = {}

    async def send(*messages: dict[str, object], to: str = "flow-requests") -> None:
        if to not in senders:
            senders[to] = client.get_queue_sender(to)
            closing.append(senders[to].close)
        for fields in messages:
            message = ServiceBusMessage(**{"body": b"{}", **fields})  # type: ignore[arg-type]  # fields vary
            await senders[to].send_messages(message)

    return send
