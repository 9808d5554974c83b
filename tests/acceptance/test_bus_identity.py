"""The worker's identity towards the bus: a bearer token over TLS, its renewal, and a source that fails meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from flow.certificates import ThrowAwayAuthority
from support.house import REQUESTS, House, open_house, property_of

from worker.emulator.faults import Occasion
from worker.emulator.server import SasKey
from worker.emulator.standins import Issue, Refuse
from worker.flow import keeper

LIFE_S = 10  # the shortest that the SDK renews: it counts in whole seconds, and asks in the last tenth
LANES = 2
KEY = SasKey(name="house", key="a key of the house's own", accepts_jwt=True)


class Occasions:
    """How often each came to pass at the broker; the worker's receivers are the only ones on the request queue."""

    def __init__(self, house: House) -> None:
        self._counts: Counter[tuple[Occasion, str]] = Counter()
        house.broker.faults.listeners.append(lambda what, entity, _: self._counts.update([(what, entity)]))

    @property
    def tokens(self) -> int:
        return self._counts[Occasion.TOKEN, ""]

    @property
    def attaches(self) -> int:
        return self._counts[Occasion.ATTACH, REQUESTS]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    authority = ThrowAwayAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    async with open_house(auth=KEY, authority=authority) as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield house


def by_namespace(house: House, transport: str = "amqp") -> dict[str, Any]:
    return {"connection_string": "", "namespace": f"localhost:{house.broker.port}", "transport": transport}


@pytest.mark.parametrize("transport", ["amqp", "websockets"])
async def test_a_managed_identity_opens_the_bus(house: House, transport: str) -> None:
    async with house.worker(servicebus=by_namespace(house, transport)):
        reply = await house.reply(await house.ask())
        assert property_of(reply, "outcome") == "answered"
    asked = [request.resource for request in house.identity.requests]
    assert sorted(asked) == ["https://service.flow.microsoft.com/", "https://servicebus.azure.net/"]


@pytest.mark.parametrize("transport", ["amqp", "websockets"])
async def test_an_identity_that_the_bus_refuses_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    authority = ThrowAwayAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    async with open_house(auth=SasKey(name="house", key="k"), authority=authority) as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        async with house.worker(servicebus=by_namespace(house, transport), is_expected_to_receive=False) as worker:
            text = ""
            async with aiohttp.ClientSession() as session, asyncio.timeout(20):
                while "refused the credential" not in text:
                    async with session.get(f"http://127.0.0.1:{worker.http_port}/readyz") as response:
                        text = await response.text()


async def test_a_token_that_runs_out_is_renewed_while_requests_flow(house: House) -> None:
    house.identity.script(Issue(lifetime_s=LIFE_S))
    occasions = Occasions(house)
    async with house.worker(servicebus=by_namespace(house), worker={"concurrency": LANES}) as worker:
        runs_out_at = time.time() + LIFE_S
        asked = [await house.ask()]
        while worker.pump.facts.lanes_receiving < LANES:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.02)
        tokens, attaches = occasions.tokens, occasions.attaches
        while time.time() < runs_out_at + 1:
            asked.append(await house.ask())
            await asyncio.sleep(0.1)
        assert occasions.tokens >= tokens + LANES
        assert occasions.attaches == attaches, "the receivers stayed as they were"
        await house.request_queue_empty()
        assert [len(house.replies_in(each)) for each in asked] == [1] * len(asked)


async def test_a_source_of_tokens_that_fails_leaves_receivers_alone_while_their_token_is_valid(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK asks for the next one in the last tenth of the token's life, and a failure then is the receiver's end."""
    monkeypatch.setattr(keeper, "MARGIN_S", 0.0)
    issued = Issue(lifetime_s=LIFE_S)
    house.identity.script(issued, issued, Refuse(status=500))  # one for the bus, one for the flow
    occasions = Occasions(house)
    async with house.worker(servicebus=by_namespace(house), worker={"concurrency": LANES}) as worker:
        while worker.pump.facts.lanes_receiving < LANES:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.02)
        asked = [await house.ask()]
        await house.request_queue_empty()
        tokens, attaches = occasions.tokens, occasions.attaches
        await house.identity.requests.until(4, within_s=LIFE_S)  # it fails, for the bus and for the flow
        async with asyncio.timeout(LIFE_S):
            while occasions.tokens < tokens + LANES:  # noqa: ASYNC110 - seen from outside
                await asyncio.sleep(0.02)
        assert occasions.attaches == attaches, "the receivers stayed as they were"
        house.identity.script(Issue())
        asked.append(await house.ask())
        await house.broker.until(lambda _: all(house.replies_in(each) for each in asked), timeout_s=20)
