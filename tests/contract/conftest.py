"""The namespace under test: an embedded broker for each module, or the one given by `--servicebus`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from worker.emulator.server import EmbeddedBroker

from .channel import Links
from .topology import read_topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    connection_string: str
    prefix: str
    """What the entities' names begin with."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def namespace(pytestconfig: pytest.Config) -> AsyncIterator[Namespace]:
    given: str | None = pytestconfig.getoption("--servicebus")
    if given is not None:
        yield Namespace(connection_string=given, prefix=pytestconfig.getoption("--servicebus-prefix"))
        return
    async with EmbeddedBroker(read_topology(), keeps_history=False) as broker:
        yield Namespace(connection_string=broker.connection_string, prefix="contract.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def links(namespace: Namespace) -> AsyncIterator[Links]:
    client = ServiceBusClient.from_connection_string(namespace.connection_string, retry_total=0)
    links = Links(client, prefix=namespace.prefix)
    yield links
    await links.close()
