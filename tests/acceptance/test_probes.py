"""What the platform sees of a worker: `/livez`, `/readyz`, `/status`."""

import asyncio
import socket
import time

import aiohttp
import pytest
from support.house import House

from worker.app import assembled
from worker.core import loop_lag
from worker.emulator.standins import Hang


async def get(port: int, path: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.json()


async def until_status(port: int, path: str, status: int, *, within_s: float = 10.0) -> dict[str, object]:
    async with asyncio.timeout(within_s):
        while True:
            seen, document = await get(port, path)
            if seen == status:
                return document


async def test_a_worker_that_receives_is_alive_and_ready(house: House) -> None:
    async with house.worker() as worker:
        assert await get(worker.http_port, "/livez") == (200, {"status": "alive"})
        assert await get(worker.http_port, "/readyz") == (200, {"status": "ready"})
        _, status = await get(worker.http_port, "/status")
    assert status["ready"] is True
    assert status["flows"] == [
        {
            "name": "flow",
            "circuit": "closed",
            "openings": 0,
            "reopens_in_s": None,
            "in_flight": 0,
            "waiting": 0,
            "limit": 100,
            "most": 100,
            "rate_per_s": 0,
            "fastest_decile_s": None,
            "held": 0,
            "outcomes": {},
            "p50_s": None,
            "p99_s": None,
            "errors": [],
        }
    ]
    assert status["fleet"] == {"workers": 1, "counted_by": None, "failure": None}
    assert status["pump"]["lanes_receiving"] >= 1  # type: ignore[index]  # JSON


async def test_a_worker_without_its_queue_is_alive_and_says_why_it_is_not_ready(house: House) -> None:
    settings = house.settings(servicebus={"request_queue": "no-such-queue"})
    async with assembled(settings) as worker:
        pumping = asyncio.create_task(worker.pump.run())
        document = await until_status(worker.http_port, "/readyz", 503)
        while "no such queue" not in str(document):
            document = await until_status(worker.http_port, "/readyz", 503)
        assert "no-such-queue" in str(document["reasons"])
        assert (await get(worker.http_port, "/livez"))[0] == 200
        worker.pump.stop()
        await pumping


async def test_a_draining_worker_is_alive_and_not_ready(house: House) -> None:
    house.flow.script("flow", Hang())
    async with house.worker(worker={"drain_s": 2.0}) as worker:
        await house.send()
        await house.flow.calls.until(1)
        worker.stop.request()
        document = await until_status(worker.http_port, "/readyz", 503)
        assert "draining" in str(document["reasons"])
        assert (await get(worker.http_port, "/livez"))[0] == 200


async def test_a_worker_whose_loop_is_held_up_says_so_and_recovers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_lag, "HELD_UP_S", 0.4)
    monkeypatch.setattr(loop_lag, "WINDOW_S", 1.0)
    async with house.worker() as worker:
        await until_status(worker.http_port, "/readyz", 200)
        time.sleep(1.0)  # noqa: ASYNC251 - this is what holds a loop up
        document = await until_status(worker.http_port, "/readyz", 503)
        assert "the event loop stood still" in str(document["reasons"])
        await until_status(worker.http_port, "/readyz", 200)


async def test_a_port_that_is_taken_is_said_plainly(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = house.settings(http={"port": taken.getsockname()[1]})
        with pytest.raises(OSError, match="address already in use"):
            async with assembled(settings):
                pass
