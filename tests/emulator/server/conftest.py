from collections.abc import AsyncIterator

import pytest
from emulator.server.raw import RawClient, connected

from worker.emulator.broker import QueueProperties, SubscriptionProperties, TopicProperties, Topology
from worker.emulator.server import EmbeddedBroker

TOPOLOGY = Topology(
    queues=(
        QueueProperties(name="plain"),
        QueueProperties(name="brief", lock_s=0.2, max_delivery_count=3),
        QueueProperties(name="small", max_message_bytes=1024),
        QueueProperties(name="by-session", requires_session=True),
        QueueProperties(name="brief-session", requires_session=True, lock_s=0.2),
    ),
    topics=(TopicProperties(name="news", subscriptions=(SubscriptionProperties(name="all"),)),),
)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(TOPOLOGY) as running:
        yield running


@pytest.fixture
async def client(broker: EmbeddedBroker) -> AsyncIterator[RawClient]:
    async with connected(broker.port) as raw:
        yield raw
