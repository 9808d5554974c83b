"""What a flow may be asked for, seen over the wire: bulkhead, deadline, fleet, rotated signatures, the arithmetic."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.house import REQUESTS, House, property_of

from worker import upkeep
from worker.core.outcome import Outcome
from worker.emulator.standins import Answer, Echo, Hang, PlatformError

ONCE = {"attempts": 1}


async def status(port: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/status") as response:
        document: dict[str, Any] = await response.json()
        return document


async def test_a_flow_that_hangs_leaves_the_others_their_slots(house: House) -> None:
    house.flow.script("dead", Hang())
    house.flow.script("alive", Echo())
    flows: list[dict[str, Any]] = [{"name": "dead", "retry": ONCE}, {"name": "alive"}]
    async with house.worker(*flows, worker={"concurrency": 12, "drain_s": 2.0}) as worker:
        for _ in range(30):
            await house.send(application_properties={"flow": "dead"})
        asked = [await house.ask(application_properties={"flow": "alive"}) for _ in range(5)]
        for session in asked:
            assert property_of(await house.reply(session), "outcome") == "answered"
        assert len([call for call in house.flow.calls if call.workflow == "dead"]) <= 9, "the bulkhead's share"
        put_back = await worker.ended.until(20, where=lambda each: each.flow == "dead")
        assert all(each.is_copied and each.attempts == 0 for each in put_back)
        assert all(each.delivery_count == 0 for each in worker.ended)
    copies = [
        each.message
        for each in house.broker.facts.messages(REQUESTS)
        if "request-id" in each.message.application_properties
    ]
    assert {each.application_properties["delivery-attempt"] for each in copies} == {0}, "waiting is no try"


async def test_a_caller_whose_turn_does_not_come_in_time_is_told_before_its_time_is_over(house: House) -> None:
    house.flow.script("dead", Hang())
    house.flow.script("alive", Echo())
    flows: list[dict[str, Any]] = [{"name": "dead", "retry": ONCE}, {"name": "alive"}]
    async with house.worker(*flows, worker={"concurrency": 12, "drain_s": 2.0}):
        for _ in range(9):
            await house.send(application_properties={"flow": "dead"})
        await house.flow.calls.until(9)
        reply = await house.reply(await house.ask(application_properties={"flow": "dead", "timeout-s": 6}))
    assert property_of(reply, "outcome") == "unavailable"
    assert property_of(reply, "attempts") == 0
    assert property_of(reply, "retry-after-s") >= 1
    assert property_of(reply, "elapsed-ms") < 6000


async def test_a_caller_who_can_wait_for_a_place_gets_one(house: House) -> None:
    house.flow.script("slow", Answer(after_s=0.4))
    house.flow.script("other", Echo())
    async with house.worker({"name": "slow"}, {"name": "other"}, worker={"concurrency": 8}):
        sessions = [await house.ask(application_properties={"flow": "slow", "timeout-s": 60}) for _ in range(25)]
        outcomes = [property_of(await house.reply(session, within_s=40), "outcome") for session in sessions]
    assert outcomes == ["answered"] * 25
    assert len(house.flow.calls) == 25


async def test_a_request_without_a_chance_is_answered_at_once_and_not_called(house: House) -> None:
    house.flow.script("flow", Answer(after_s=2.5))
    async with house.worker():
        for session in [await house.ask() for _ in range(20)]:
            await house.reply(session)
        reply = await house.reply(await house.ask(application_properties={"timeout-s": 2.4}))
    assert (property_of(reply, "outcome"), property_of(reply, "reason")) == ("expired", "TooLittleTimeLeft")
    assert property_of(reply, "attempts") == 0
    assert property_of(reply, "elapsed-ms") < 2400
    assert len(house.flow.calls) == 20


async def test_attempts_and_redeliveries_add_up_and_do_not_multiply(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"))
    flow = {"retry": {"attempts": 3, "first_s": 0.01, "max_s": 0.01}, "breaker": {"min_calls": 1000}}
    async with house.worker(flow, worker={"redelivery_s": [0.05, 0.05]}) as worker:
        request_id = await house.send()
        ended = await worker.ended.until(3, where=lambda each: each.request_id == request_id)
        await house.request_queue_empty()
    assert [each.attempts for each in ended] == [3, 1, 1]
    assert len(house.flow.calls) == 3 + 2


async def test_a_fleet_shares_what_a_flow_takes_and_says_so(house: House) -> None:
    async with house.worker({"concurrency": 90, "rate_per_s": 30}, worker={"replicas": 3}) as worker:
        document = await status(worker.http_port)
    assert document["fleet"] == {"workers": 3, "counted_by": None, "failure": None}
    (flow,) = document["flows"]
    assert (flow["most"], flow["limit"], flow["rate_per_s"]) == (30, 30, 10.0)


async def test_a_fleet_is_counted_by_a_name_with_an_address_for_each_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FLEET_EVERY_S", 0.05)
    async with house.worker(worker={"replicas": 4, "replicas_dns": "localhost"}) as worker:
        async with asyncio.timeout(5):
            while (await status(worker.http_port))["fleet"] != {
                "workers": 1,
                "counted_by": "localhost",
                "failure": None,
            }:
                pass


async def test_a_fleet_that_cannot_be_counted_stays_as_it_was_set(house: House) -> None:
    async with house.worker(worker={"replicas": 4, "replicas_dns": "workers.invalid"}) as worker:
        async with asyncio.timeout(10):
            while (fleet := (await status(worker.http_port))["fleet"])["failure"] is None:
                pass
    assert fleet["workers"] == 4
    assert "workers.invalid" in fleet["failure"]


async def test_a_signature_that_is_rotated_is_used_from_the_next_call_on(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(upkeep, "URLS_EVERY_S", 0.02)
    mounted = tmp_path / "url"
    mounted.write_text(house.flow.url_of("flow", sig="first"))
    async with house.worker({"url": "", "url_file": str(mounted), "auth": "sas"}) as worker:
        await house.reply(await house.ask())
        for content in ("", "http://elsewhere.example/?sig=never", house.flow.url_of("flow", sig="second")):
            mounted.write_text(content)
        async with asyncio.timeout(10):
            while not house.flow.calls[-1].path_and_query.endswith("sig=second"):
                await house.reply(await house.ask())
        assert len(worker.ended) >= 2
    assert all("authorization" not in call.headers for call in house.flow.calls)
    told = "".join(capfd.readouterr())
    assert not any(secret in told for secret in ("first", "second", "never"))


async def test_a_mounted_url_that_cannot_be_used_leaves_the_flow_as_it_was(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "URLS_EVERY_S", 0.02)
    mounted = tmp_path / "url"
    mounted.write_text(house.flow.url_of("flow", sig="first"))
    async with house.worker({"url": "", "url_file": str(mounted), "auth": "sas"}) as worker:
        mounted.unlink()
        await asyncio.sleep(0.1)  # several looks at the file; that nothing happens has no event
        request_id = await house.ask()
        assert property_of(await house.reply(request_id), "outcome") == "answered"
        assert (await worker.ended_as(request_id)).outcome is Outcome.ANSWERED
