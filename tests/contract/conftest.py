"""The namespace under test: an embedded broker for each module, or the one given by `--servicebus`."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from secrets import token_urlsafe

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient

from worker.emulator.server import EmbeddedBroker, SasKey

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
        if "PYTEST_XDIST_WORKER" in os.environ:
            pytest.fail("tests at once on one namespace take each other's messages: add -n 0 to --servicebus")
        yield Namespace(connection_string=given, prefix=pytestconfig.getoption("--servicebus-prefix"))
        return
    auth = SasKey(name="RootManageSharedAccessKey", key=token_urlsafe())
    async with EmbeddedBroker(read_topology(), auth=auth, keeps_history=False) as broker:
        yield Namespace(connection_string=broker.connection_string, prefix="contract.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def links(namespace: Namespace) -> AsyncIterator[Links]:
    client = ServiceBusClient.from_connection_string(namespace.connection_string, retry_total=0)
    links = Links(client, prefix=namespace.prefix)
    yield links
    await links.close()
