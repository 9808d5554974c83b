"""Tokens of the bus's own, as far as they go without TLS: shared access signatures."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote

import pytest

from worker.core.failures import BusUnreachable
from worker.core.settlement import Complete, Settled
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker
from worker.emulator.server.auth import SasKey
from worker.servicebus.connect import Bus, BusOptions, QueueSource
from worker.servicebus.lanes import ReceiverLane

QUEUE = "flow-requests"
Send = Callable[..., Awaitable[None]]


async def until_lost(lane: ReceiverLane) -> str:
    """What is said when it is noticed."""
    async with asyncio.timeout(10):
        while True:
            try:
                await lane.receive(wait_s=0.05)
            except BusUnreachable as failure:
                return str(failure)


async def test_a_refused_token_is_told_with_what_to_do_and_is_passing(bus: Bus, broker: EmbeddedBroker) -> None:
    broker.faults.refuse_tokens(times=1)
    lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
    with pytest.raises(BusUnreachable, match=r"refused the credential\. Check the key"):
        await lane.open()
    await lane.open()
    await lane.close()


async def test_a_link_that_is_detached_for_an_expired_token_gets_a_fresh_one(
    lane: ReceiverLane, send: Send, broker: EmbeddedBroker
) -> None:
    await send({})
    [delivery] = await lane.receive(wait_s=5)
    broker.faults.detach_links(
        QUEUE, condition="amqp:unauthorized-access", description="ExpiredToken: the token has expired."
    )
    assert "token has expired" in await until_lost(lane)
    await lane.open()
    assert await lane.settle([(delivery, Complete())]) == [Settled.DONE]


async def test_a_signature_that_expires_is_passing_for_a_worker_and_told() -> None:
    key = SasKey(name="bridge", key="c2VjcmV0")
    async with EmbeddedBroker(Topology(queues=(QueueProperties(name=QUEUE),)), auth=key) as broker:
        text = _signed(broker, key, for_s=2)
        async with Bus(BusOptions(connection_string=text)) as bus:
            lane = ReceiverLane(bus, QueueSource(queue=QUEUE))
            await lane.open()
            assert "Expired" in await until_lost(lane)
            with pytest.raises(BusUnreachable, match="refused the credential"):
                await lane.open()
            await lane.close()


def _signed(broker: EmbeddedBroker, key: SasKey, *, for_s: int) -> str:
    resource = quote(f"sb://127.0.0.1:{broker.port}/", safe="")
    expiry = int((datetime.now(UTC) + timedelta(seconds=for_s)).timestamp())
    digest = hmac.new(key.key.encode(), f"{resource}\n{expiry}".encode(), sha256).digest()
    signature = quote(b64encode(digest), safe="")
    token = f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={key.name}"
    return f"Endpoint=sb://127.0.0.1:{broker.port};SharedAccessSignature={token};UseDevelopmentEmulator=true;"
