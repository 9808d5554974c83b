"""The whole house in web sockets and under TLS: answers, faults, and certificates that nobody vouches for."""

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from flow.certificates import ThrowAwayAuthority
from support.house import REPLIES, REQUESTS, House, body_of, open_house, property_of
from support.processes import worker_process

from worker.emulator.standins import Echo, FlowStandIn, Recorded
from worker.requester import Requester
from worker.servicebus import writer

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # the SDK leaves them to the garbage collector
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),  # the SDK's, where there is no TLS
]
BRIEF_S = 5.0  # what a dead connection was given comes again soon
NOT_TRUSTED = "the broker's certificate is not trusted here (unable to get local issuer certificate)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`bus`: the section `servicebus` that leads a worker to the house, besides the connection string."""

    house: House
    bus: Mapping[str, Any]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ThrowAwayAuthority:
    """Trusted by everything in this process that is made after now."""
    authority = ThrowAwayAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    return authority


@pytest.fixture(params=["amqp over tls", "websockets", "websockets over tls"])
async def way(
    request: pytest.FixtureRequest, authority: ThrowAwayAuthority, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Way]:
    transport, _, tls = request.param.partition(" over ")
    async with open_house(lock_s=BRIEF_S, authority=authority if tls else None) as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield Way(house=house, bus={"transport": transport, "lock_s": BRIEF_S})


@pytest.fixture
async def in_web_sockets(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    async with open_house() as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield Way(house=house, bus={"transport": "websockets"})


async def test_callers_get_their_own_answers_and_nothing_stays_open(way: Way) -> None:
    house = way.house
    house.flow.script("flow", Echo())
    asking = Requester(connection_string=house.broker.connection_string, transport=way.bus["transport"])
    async with house.worker(servicebus=way.bus), asking as requester:
        replies = await asyncio.gather(*(requester.request(f"{n}".encode(), timeout_s=20) for n in range(30)))
    assert [(reply.outcome, reply.body) for reply in replies] == [("answered", f"{n}".encode()) for n in range(30)]
    await house.broker.until(lambda facts: facts.connections == 0)


async def test_connections_that_are_cut_lose_and_double_nothing(way: Way) -> None:
    house = way.house
    house.flow.script("flow", Echo(after_s=0.05))
    async with house.worker(servicebus=way.bus):
        request_ids = [await house.ask(session=f"s{number}") for number in range(40)]
        await house.flow.calls.until(10)
        house.broker.faults.cut_connections(entity=REQUESTS)
        house.broker.faults.cut_connections(entity=REPLIES)
        await house.broker.until(lambda facts: len(facts.messages(REPLIES)) >= 40, timeout_s=20)
        await house.request_queue_empty(within_s=20)
    assert len(request_ids) == 40
    assert sorted(each.message.session_id or "" for each in house.broker.facts.messages(REPLIES)) == sorted(
        f"s{number}" for number in range(40)
    )


async def test_answers_find_another_way_when_the_connection_falls_silent(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK itself notices nothing; in web sockets aiohttp would, within 15 s."""
    monkeypatch.setattr(writer, "TRY_S", 0.5)
    house = way.house
    house.flow.script("flow", Echo(after_s=0.2))
    async with house.worker(servicebus=way.bus, worker={"drain_s": 1.0}):
        request_id = await house.ask()
        await house.flow.calls.until(1)
        assert house.broker.faults.silence_connections(entity=REPLIES) > 0
        await house.broker.until(lambda _: len(house.replies_in(request_id)) == 1, timeout_s=20)
        house.broker.faults.end_silence()


async def test_a_request_in_hand_is_answered_when_the_broker_is_back_and_nothing_is_said_of_the_sdks_leavings(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    house = way.house
    house.flow.script("flow", Echo(after_s=0.5))
    async with house.worker(servicebus=way.bus) as worker:
        request_id = await house.ask()
        await house.flow.calls.until(1)
        house.broker.faults.refuse_connections()
        house.broker.faults.cut_connections()
        while worker.pump.facts.lanes_receiving:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.01)
        assert "no connection to the broker" in str(worker.pump.facts.failure)
        await house.broker.faults.admit_connections()
        await house.broker.until(lambda _: len(house.replies_in(request_id)) == 1, timeout_s=20)
        await house.request_queue_empty()
        assert house.broker.facts.connections <= 14  # 13 of the worker's, 1 of the house's
    gc.collect()
    await asyncio.sleep(0)
    said = [each.getMessage() for each in caplog.records if each.name == "asyncio" and each.levelno > logging.INFO]
    assert said == []


async def test_an_open_failing_again_and_again_leaves_no_connections(in_web_sockets: Way) -> None:
    house = in_web_sockets.house
    house.broker.faults.refuse_attaches(REQUESTS)
    async with house.worker(servicebus=in_web_sockets.bus, is_expected_to_receive=False) as worker:
        attempts: Recorded[str] = Recorded()
        house.broker.faults.listeners.append(lambda occasion, entity, _: attempts.add(f"{occasion.name} {entity}"))
        await attempts.until(24, where=lambda each: each == f"ATTACH {REQUESTS}", within_s=20)
        assert worker.pump.facts.lanes_receiving == 0
        assert house.broker.facts.connections <= 2 * 13 + 1
    await house.broker.until(lambda facts: facts.connections <= 1)


@pytest.mark.parametrize("transport", ["amqp", "websockets"])
@pytest.mark.timeout(120)
async def test_a_worker_process_trusts_the_authority_that_its_environment_names(
    authority: ThrowAwayAuthority, transport: str
) -> None:
    """At the broker and at the flow."""
    async with (
        open_house(authority=authority) as house,
        FlowStandIn(ssl_context=authority.server_context("127.0.0.1")) as flow,
    ):
        flow.script("flow", Echo())
        environment = {"FLOWBRIDGE_SERVICEBUS__TRANSPORT": transport}
        async with worker_process(house, environment=environment, url=flow.url_of("flow")):
            reply = await house.reply(await house.ask(b"secret"), within_s=30)
        assert (property_of(reply, "outcome"), body_of(reply)) == ("answered", b"secret")


@pytest.mark.parametrize("transport", ["amqp", "websockets"])
@pytest.mark.timeout(120)
async def test_a_broker_whose_authority_nobody_named_is_told_in_a_sentence(
    authority: ThrowAwayAuthority, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log, in /readyz and by check."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(ThrowAwayAuthority(tmp_path / "other").pem))
    log: Recorded[dict[str, object]] = Recorded()
    environment = {"FLOWBRIDGE_SERVICEBUS__TRANSPORT": transport}
    async with open_house(authority=authority) as house, worker_process(house, log, environment=environment):
        (failed,) = await log.until(1, where=lambda line: line["event"] == "lane_failed", within_s=30)
        assert NOT_TRUSTED in str(failed["failure"])
        assert "SSL_CERT_FILE" in str(failed["failure"])
        (started,) = await log.until(1, where=lambda line: line["event"] == "worker_started", within_s=30)
        assert NOT_TRUSTED in await not_ready(f"http://127.0.0.1:{started['http_port']}/readyz")
        status, findings = await check(house, transport)
        assert status == 1
        assert NOT_TRUSTED in findings["receive requests from queue 'flow-requests'"]
        assert NOT_TRUSTED in findings["send replies to queue 'flow-replies'"]
    assert all("Traceback" not in json.dumps(line) and "exception" not in line for line in log)
    assert {str(line["event"]) for line in log if "Unclosed" in str(line["event"])} == set()


async def not_ready(url: str) -> str:
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(url) as response:
                text = await response.text()
                if response.status == 503 and "certificate" in text:
                    return text


async def check(house: House, transport: str) -> tuple[int, dict[str, str]]:
    """Exit status, and details of what failed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "check", "--json"),
        env={
            **os.environ,
            "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": house.broker.connection_string,
            "FLOWBRIDGE_SERVICEBUS__TRANSPORT": transport,
            "FLOWBRIDGE_FLOWS": json.dumps([{"url": house.flow.url_of("flow")}]),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": house.identity.url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    failed = (each for each in json.loads(out)["findings"] if each["verdict"] == "failed")
    return process.returncode or 0, {each["name"]: each["detail"] for each in failed}
