"""Who may come in."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusAuthorizationError

from .conftest import Namespace

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG_KEY = "d3Jvbmc="


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(pytestconfig: pytest.Config, namespace: Namespace) -> AsyncIterator[ServiceBusClient]:
    """Has a key, but not the right one."""
    if pytestconfig.getoption("--servicebus") and "UseDevelopmentEmulator" in namespace.connection_string:
        pytest.skip("whether Microsoft's emulator looks at keys is not known")
    wrong = re.sub("SharedAccessKey=[^;]+", f"SharedAccessKey={WRONG_KEY}", namespace.connection_string)
    async with ServiceBusClient.from_connection_string(wrong, retry_total=0) as client:
        yield client


async def test_a_stranger_neither_sends_nor_receives(stranger: ServiceBusClient, namespace: Namespace) -> None:
    queue = f"{namespace.prefix}plain"
    links = (stranger.get_queue_sender(queue), stranger.get_queue_receiver(queue))
    refusals = await asyncio.gather(*(link.__aenter__() for link in links), return_exceptions=True)
    for refusal in refusals:
        assert isinstance(refusal, ServiceBusAuthenticationError | ServiceBusAuthorizationError)
        assert WRONG_KEY not in str(refusal)
    await asyncio.gather(*(link.close() for link in links))
