"""Workers and callers as processes of their own: many callers, a killed worker, a stopped one."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.house import DEAD_LETTERS, REPLIES, REQUESTS, House, open_house
from support.processes import worker_process

from worker.emulator.standins import Echo, Recorded

CALLERS = Path(__file__).parents[1] / "support" / "callers.py"


@pytest.fixture
async def brief_house() -> AsyncIterator[House]:
    """Locks of 5 s, so that what a killed worker held comes again soon."""
    async with open_house(lock_s=5.0) as house:
        yield house


async def callers_process(house: House, requesters: int, requests_each: int, timeout_s: float) -> dict[str, object]:
    arguments = (house.broker.connection_string, str(requesters), str(requests_each), str(timeout_s))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CALLERS), *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    counted: dict[str, object] = json.loads(output)
    return counted


async def until_receiving(house: House) -> None:
    await house.broker.until(
        lambda facts: facts.connections >= 7, timeout_s=20
    )  # 2 lanes, 4 reply senders, 1 for copies


@pytest.mark.timeout(120)
async def test_a_thousand_requests_over_fifty_sessions_all_get_their_own_answer_though_a_worker_is_killed(
    brief_house: House,
) -> None:
    house = brief_house
    house.flow.script("flow", Echo(after_s=0.02))
    async with worker_process(house) as first:
        await until_receiving(house)
        callers = [asyncio.create_task(callers_process(house, 25, 20, 60.0)) for _ in range(2)]
        await house.flow.calls.until(300, within_s=60)
        first.send_signal(signal.SIGKILL)
        async with worker_process(house):
            results = await asyncio.gather(*callers)
    assert results == [{"endings": {"own": 500}, "foreign": 0}] * 2
    assert house.broker.facts.counts(REQUESTS).dead_lettered == 0
    assert house.broker.facts.messages(DEAD_LETTERS) == []


async def test_a_worker_process_that_is_told_to_stop_answers_what_it_has_and_ends_with_0(brief_house: House) -> None:
    house = brief_house
    house.flow.script("flow", Echo(after_s=1.0))
    async with worker_process(house) as worker:
        request_ids = [await house.ask() for _ in range(10)]
        await house.flow.calls.until(10, within_s=20)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 15) == 0
    assert sorted(each.message.session_id or "" for each in house.broker.facts.messages(REPLIES)) == sorted(request_ids)
    assert house.broker.facts.messages(REQUESTS) == []


async def test_a_worker_process_waits_for_a_broker_that_comes_late(brief_house: House) -> None:
    house = brief_house
    request_id = await house.ask()
    house.broker.faults.refuse_connections()
    house.broker.faults.cut_connections()
    log: Recorded[dict[str, object]] = Recorded()
    async with worker_process(house, log) as worker:
        await log.until(1, where=lambda line: line["event"] == "lane_failed", within_s=20)
        await house.broker.faults.admit_connections()
        await house.broker.until(lambda _: len(house.replies_in(request_id)) == 1, timeout_s=20)
        assert worker.returncode is None
