"""One worker in two processes: their answers, their ends, and the supervisor's own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.house import REPLIES, REQUESTS, House, open_house
from support.processes import worker_process

from worker.emulator.standins import Echo, Hang, Recorded

TOKEN = "a-token-for-this-test"
IN_TWO = {
    "FLOWBRIDGE_WORKER__PROCESSES": "2",
    "FLOWBRIDGE_WORKER__DRAIN_S": "30",
    "FLOWBRIDGE_HTTP__ADMIN_TOKEN": TOKEN,
}
Log = Recorded[dict[str, object]]


@pytest.fixture
async def brief_house() -> AsyncIterator[House]:
    """Locks of 5 s, so that what a killed process held comes again soon."""
    async with open_house(lock_s=5.0) as house:
        yield house


async def port_of(log: Log) -> int:
    (started,) = await log.until(1, where=lambda line: line["event"] == "worker_started", within_s=20)
    assert isinstance(started["http_port"], int)
    return started["http_port"]


async def get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.json()


async def steer(port: int, action: str) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(f"http://127.0.0.1:{port}/flows/flow/{action}") as response,
    ):
        assert response.status == 204


async def until_circuits_are(port: int, *states: str) -> None:
    """Of the flow, in each process."""
    async with asyncio.timeout(20):
        while True:
            _, status = await get(port, "/status")
            flows = [(each["status"] or {"flows": []})["flows"] for each in status["processes"]]
            if [flow["circuit"] for own in flows for flow in own] == list(states):
                return
            await asyncio.sleep(0.05)


async def until_counted(port: int, name: str, total: float) -> None:
    """Over both processes, which tell their counts every few seconds."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                families = list(text_string_to_metric_families(await response.text()))
            samples = [sample for family in families for sample in family.samples if sample.name == name]
            if sum(sample.value for sample in samples) == total:
                assert {sample.labels["process"] for sample in samples} == {"0", "1"}
                return
            await asyncio.sleep(0.1)


async def until_all_ready(port: int) -> dict[str, Any]:
    """`/status` with the lanes of both processes receiving, two each unless they are under load."""
    async with asyncio.timeout(20):
        while True:
            _, status = await get(port, "/status")
            if status["pump"]["lanes_receiving"] >= 4:
                return status
            await asyncio.sleep(0.05)


async def answered(house: House, request_ids: list[str]) -> None:
    """Each of them, once."""
    await house.broker.until(lambda facts: len(facts.messages(REPLIES)) >= len(request_ids), timeout_s=30)
    assert sorted(each.message.session_id or "" for each in house.broker.facts.messages(REPLIES)) == sorted(request_ids)
    await house.request_queue_empty()


@pytest.mark.timeout(120)
async def test_two_processes_are_one_worker_though_one_of_them_is_killed(brief_house: House) -> None:
    house, log = brief_house, Log()
    house.flow.script("flow", Echo(after_s=0.1))
    async with worker_process(house, log, environment=IN_TWO) as supervisor:
        port = await port_of(log)
        assert await get(port, "/livez") == (200, {"status": "alive"})
        before = await until_all_ready(port)
        assert [each["status"]["pump"]["lanes_receiving"] for each in before["processes"]] == [2, 2]
        assert [each["status"]["fleet"]["workers"] for each in before["processes"]] == [2, 2]

        request_ids = [await house.ask() for _ in range(40)]
        await house.flow.calls.until(10, within_s=20)
        first, second = (each["pid"] for each in before["processes"])
        os.kill(first, signal.SIGKILL)
        (ended,) = await log.until(1, where=lambda line: line["event"] == "process_ended")
        assert (ended["process"], ended["status"]) == (0, -signal.SIGKILL)
        assert await get(port, "/readyz") == (200, {"status": "ready"}), "one is enough"
        after = await until_all_ready(port)
        assert [each["restarts"] for each in after["processes"]] == [1, 0]
        assert after["processes"][0]["pid"] != first
        assert after["processes"][1]["pid"] == second
        await answered(house, request_ids)
        _, document = await get(port, "/status")
        assert document["flows"][0]["outcomes"]["answered"] >= 1
        await until_counted(port, "flowbridge_slots", 200)
        assert {line["process"] for line in log if line["event"] == "request_ended"} == {0, 1}

        house.flow.script("flow", *[Echo(after_s=0.5)] * 7, Hang())
        calls = len(house.flow.calls)
        request_ids += [await house.ask() for _ in range(8)]
        await house.flow.calls.until(calls + 8)
        supervisor.send_signal(signal.SIGTERM)
        await log.until(3, where=lambda line: line["event"] == "drain_started")
        status, document = await get(port, "/readyz")
        assert (status, len(document["reasons"])) == (503, 1)
        assert "draining" in document["reasons"][0]
        await house.broker.until(lambda facts: len(facts.messages(REPLIES)) == len(request_ids) - 1)
        supervisor.send_signal(signal.SIGTERM)  # in a hurry now
        assert await asyncio.wait_for(supervisor.wait(), 20) == 0
    await answered(house, request_ids)
    outcomes = [line["outcome"] for line in log if line["event"] == "request_ended"]
    assert outcomes.count("indeterminate") == 1, "the call that the hurry cut"
    assert [line["status"] for line in log if line["event"] == "process_ended"] == [-signal.SIGKILL, 0, 0]


async def test_processes_whose_supervisor_is_killed_finish_what_they_have_and_end(brief_house: House) -> None:
    house, log = brief_house, Log()
    house.flow.script("flow", Echo(after_s=1.0))
    async with worker_process(house, log, environment=IN_TWO) as supervisor:
        port = await port_of(log)
        before = await until_all_ready(port)
        await steer(port, "isolate")
        await until_circuits_are(port, "isolated", "isolated")
        os.kill(before["processes"][0]["pid"], signal.SIGKILL)
        await log.until(1, where=lambda line: line["event"] == "process_ended")
        await until_circuits_are(port, "isolated", "isolated")
        await steer(port, "reset")
        await until_circuits_are(port, "closed", "closed")
        await until_all_ready(port)
        request_ids = [await house.ask() for _ in range(10)]
        await house.flow.calls.until(10, within_s=20)
        supervisor.kill()
        await supervisor.wait()
        drains = await log.until(2, where=lambda line: line["event"] == "drain_started")
        assert {line["process"] for line in drains} == {0, 1}
    # Here the log has ended, which only the last process that writes to it can end.
    await answered(house, request_ids)
    assert house.broker.facts.counts(REQUESTS).dead_lettered == 0
