"""The worker's identity, seen from the queue: what a token's absence does to requests."""

import asyncio

import aiohttp
from support.house import REQUESTS, House, property_of

from worker.emulator.standins import Answer, Issue, PlatformError, Refuse, Stall
from worker.flow.token import Credential, IdentitySpec

NOT_FOUND = Refuse(status=400, error="invalid_request", description="Identity not found")


async def readyz(port: int) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as response:
        return response.status, await response.text()


async def test_two_hundred_cold_requests_make_one_token_request(house: House) -> None:
    house.identity.script(Issue(after_s=0.2))
    async with house.worker(is_expected_to_receive=False):
        request_ids = [await house.ask() for _ in range(200)]
        await house.flow.calls.until(200, within_s=30)
        await house.request_queue_empty()
    assert len(house.identity.requests) == 1
    assert len(request_ids) == 200


async def test_requests_wait_in_the_queue_until_there_is_a_token(house: House) -> None:
    """Untouched: no delivery is counted, none is locked, and the worker recovers by itself."""
    house.identity.script(NOT_FOUND, NOT_FOUND, Issue())
    async with house.worker(is_expected_to_receive=False) as worker:
        request_id = await house.ask()
        await house.identity.requests.until(2)
        assert house.broker.facts.counts(REQUESTS).ready == 1
        assert len(worker.ended) == 0
        status, reasons = await readyz(worker.http_port)
        assert status == 503
        assert "Identity not found" in reasons
        reply = await house.reply(request_id)
        assert (await readyz(worker.http_port))[0] == 200
    assert property_of(reply, "outcome") == "answered"
    assert [each.delivery_count for each in worker.ended] == [0]


async def test_a_worker_is_not_ready_while_one_of_its_tokens_is_missing(house: House) -> None:
    """Which of them was asked for first doesn't matter."""
    house.identity.script(Stall())
    other = {"name": "other", "url": house.flow.url_of("other"), "scope": "https://other.example/.default"}
    async with house.worker({"name": "flow"}, other, is_expected_to_receive=False) as worker:
        await house.identity.requests.until(2)
        status, reasons = await readyz(worker.http_port)
    assert status == 503
    assert "is being asked for" in reasons


async def test_a_flow_that_needs_no_token_is_served_while_another_waits_for_one(house: House) -> None:
    house.identity.script(NOT_FOUND)
    house.flow.script("open")
    house.flow.script("guarded")
    signed = {"name": "open", "auth": "sas", "url": house.flow.url_of("open", sig="s")}
    async with house.worker(signed, {"name": "guarded", "retry": {"attempts": 1}}) as worker:
        guarded = await house.send(application_properties={"flow": "guarded"})
        await worker.ended.until(1, where=lambda each: each.request_id == guarded)
        answered = await house.ask(application_properties={"flow": "open"})
        assert property_of(await house.reply(answered), "outcome") == "answered"
    (waiting,) = house.broker.facts.messages(REQUESTS)
    assert waiting.message.application_properties["request-id"] == guarded
    assert waiting.message.application_properties["delivery-attempt"] == 0, "waiting for a token is no try"
    assert [call.workflow for call in house.flow.calls] == ["open"]


async def test_a_caller_whose_time_ends_before_a_token_may_come_is_told(house: House) -> None:
    house.identity.script(NOT_FOUND)
    house.flow.script("open")
    signed = {"name": "open", "auth": "sas", "url": house.flow.url_of("open", sig="s")}
    async with house.worker(signed, {"name": "flow", "retry": {"attempts": 1}}):
        request_id = await house.ask(application_properties={"flow": "flow", "timeout-s": 5})
        reply = await house.reply(request_id)
    assert property_of(reply, "outcome") == "unavailable"
    assert property_of(reply, "attempts") == 0
    assert property_of(reply, "retry-after-s") == 10
    assert b"Identity not found" in b"".join(reply.body)


async def test_a_plain_401_is_answered_after_one_more_try_with_a_fresh_token(house: House) -> None:
    house.flow.script("flow", PlatformError(status=401, code="ExpiredToken"), Answer())
    async with house.worker():
        reply = await house.reply(await house.ask())
    assert property_of(reply, "outcome") == "answered"
    assert property_of(reply, "attempts") == 2
    assert len(house.identity.requests) == 2


async def test_bus_and_flows_share_the_credential_but_not_the_token(house: House) -> None:
    scopes = ("https://servicebus.azure.net/.default", "https://service.flow.microsoft.com//.default")
    async with Credential(IdentitySpec()) as credential:
        tokens = await asyncio.gather(*(credential.get_token(scope) for scope in scopes for _ in range(100)))
    assert len({token.token for token in tokens}) == 2
    assert len(house.identity.requests) == 2
