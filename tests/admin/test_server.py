"""The HTTP surface as its callers meet it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson
import pytest
import structlog
from yarl import URL

from worker.admin import events, server
from worker.admin.server import serve
from worker.admin.surface import Steer

from .documents import not_ready
from .stage import TOKEN, Stage, staged

MORE_THAN_BUFFERS_TAKE = 20_000_000
PATHS = ("/", "/livez", "/readyz", "/status", "/metrics", "/nothing-here")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def documents(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """The next that come over `/events`."""
    found = []
    async with asyncio.timeout(10):
        async for line in response.content:
            if line.startswith(b"data: "):
                found.append(orjson.loads(line[6:]))
            if len(found) == count:
                return found
    raise AssertionError(f"the stream ended after {len(found)} documents")


async def ask(client: aiohttp.ClientSession, url: str, authorization: str | None = None) -> tuple[int, str]:
    """Status and sentence of a POST."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with client.post(URL(url, encoded=True), headers=headers) as response:
        return response.status, "" if response.status == 204 else (await response.json())["error"]


async def test_status_readiness_and_metrics_are_what_the_worker_says(
    stage: Stage, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{stage.url}/status") as response:
        assert await response.json() == stage.document
    stage.document = not_ready()
    async with client.get(f"{stage.url}/readyz") as response:
        assert (response.status, (await response.json())["reasons"]) == (503, stage.document["reasons"])
    async with client.get(f"{stage.url}/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert await response.read() == b"flowbridge_up 1\n"
    assert stage.accepted == ["application/openmetrics-text"]


async def test_every_answer_forbids_to_store_to_frame_and_to_guess(stage: Stage, client: aiohttp.ClientSession) -> None:
    for path in (*PATHS, "/events"):
        async with client.get(f"{stage.url}{path}") as response:
            assert response.headers["Cache-Control"] == "no-store", path
            assert response.headers["X-Content-Type-Options"] == "nosniff", path
            assert response.headers["Referrer-Policy"] == "no-referrer", path
            assert "default-src 'none'" in response.headers["Content-Security-Policy"], path
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"], path
            assert "aiohttp" not in response.headers.get("Server", ""), path


async def test_what_is_not_there_is_said_in_a_sentence(stage: Stage, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{stage.url}/nothing-here") as response:
        assert (response.status, (await response.json())["error"][-1]) == (404, ".")
    async with client.post(f"{stage.url}/status") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_events_come_at_once_and_then_each_second(stage: Stage, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{stage.url}/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["X-Accel-Buffering"] == "no"
        assert await documents(response, 1) == [stage.document]
        stage.document["version"] = "later"
        assert (await documents(response, 1))[0]["version"] == "later"


async def test_a_second_is_read_once_for_all_who_watch_and_not_at_all_for_nobody(
    stage: Stage, client: aiohttp.ClientSession
) -> None:
    assert stage.reads == 0
    watching = [await client.get(f"{stage.url}/events") for _ in range(5)]
    seen = await asyncio.gather(*(documents(each, 2) for each in watching))
    assert sum(map(len, seen)) == 10
    assert stage.reads <= 3
    for each in watching:
        each.close()


async def test_more_watchers_than_there_is_room_for_are_told_so_until_one_leaves(
    stage: Stage, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WATCHERS", 2)
    first, second = [await client.get(f"{stage.url}/events") for _ in range(2)]
    async with client.get(f"{stage.url}/events") as third:
        assert (third.status, "2 watch already" in (await third.json())["error"]) == (503, True)
    first.close()
    async with asyncio.timeout(10):
        while (again := await client.get(f"{stage.url}/events")).status != 200:
            again.close()
    again.close()
    second.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A surface that, where it waits for somebody at its end, waits too long for any test."""
    monkeypatch.setattr(server, "CLOSING_S", 600.0)
    monkeypatch.setattr(events, "STUCK_S", 600.0)


@pytest.mark.usefixtures("patient")
async def test_streams_end_when_the_surface_closes_and_hold_nothing_up(client: aiohttp.ClientSession) -> None:
    async with staged() as stage:
        response = await client.get(f"{stage.url}/events")
        await documents(response, 1)
    assert (await response.content.read()).strip() == b""  # and it is whole
    response.close()


@asynccontextmanager
async def deaf_watcher(stage: Stage) -> AsyncIterator[socket.socket]:
    """One who asks and then takes nothing."""
    stage.document["version"] = "x" * MORE_THAN_BUFFERS_TAKE
    with socket.create_connection(("127.0.0.1", stage.port)) as deaf:
        deaf.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            while not stage.reads:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield deaf


@pytest.mark.usefixtures("patient")
async def test_a_watcher_who_takes_nothing_does_not_hold_up_the_end() -> None:
    async with AsyncExitStack() as watching, staged() as stage:
        await watching.enter_async_context(deaf_watcher(stage))


async def test_a_watcher_who_takes_nothing_loses_his_place_and_what_was_kept_for_him(
    stage: Stage, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WATCHERS", 1)
    monkeypatch.setattr(events, "STUCK_S", 0.2)
    async with deaf_watcher(stage) as deaf, asyncio.timeout(10):
        while (response := await client.get(f"{stage.url}/events")).status != 200:
            response.close()
        response.close()
        deaf.setblocking(False)
        left = 0
        with suppress(ConnectionResetError):
            while part := await asyncio.get_running_loop().sock_recv(deaf, 1_000_000):
                left += len(part)
        assert left < MORE_THAN_BUFFERS_TAKE


async def test_a_circuit_is_steered_with_the_token_and_that_is_logged(
    stage: Stage, client: aiohttp.ClientSession
) -> None:
    stage.document["flows"][0]["name"] = "größe / 100%"
    with structlog.testing.capture_logs() as lines:
        for action in ("isolate", "reset"):
            url = f"{stage.url}/flows/gr%C3%B6%C3%9Fe%20%2F%20100%25/{action}"
            assert await ask(client, url, f"Bearer {TOKEN}") == (204, "")
    assert stage.steered == [
        Steer(flow="größe / 100%", action="isolate"),
        Steer(flow="größe / 100%", action="reset"),
    ]
    assert [(line["event"], line["flow"], line["remote"]) for line in lines] == [
        ("circuit_isolated", "größe / 100%", "127.0.0.1"),
        ("circuit_reset", "größe / 100%", "127.0.0.1"),
    ]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer let-me", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \udcff\u00e9"]
)
async def test_without_the_token_nothing_is_steered(
    stage: Stage, client: aiohttp.ClientSession, authorization: str | None
) -> None:
    status, sentence = await ask(client, f"{stage.url}/flows/credit-check/isolate", authorization)
    assert (status, TOKEN in sentence) == (401, False)
    assert stage.steered == []


async def test_a_flow_that_is_not_there_cannot_be_steered(stage: Stage, client: aiohttp.ClientSession) -> None:
    status, sentence = await ask(client, f"{stage.url}/flows/other/reset", f"bearer {TOKEN}")
    assert (status, "'other'" in sentence) == (404, True)


async def test_where_there_is_no_admin_token_nobody_steers(client: aiohttp.ClientSession) -> None:
    async with staged(admin_token=None) as stage:
        status, sentence = await ask(client, f"{stage.url}/flows/credit-check/isolate", "Bearer None")
        assert (status, "no admin token" in sentence) == (403, True)
    assert stage.steered == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /status HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x00\x00\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: [\r\n\r\n",
    ],
)
async def test_garbage_is_turned_away_without_a_word_in_the_log(
    stage: Stage, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(garbage)
    writer.write_eof()
    async with asyncio.timeout(10):
        answered = await reader.read()
    writer.close()
    assert b"aiohttp" not in answered
    for head in answered.split(b"HTTP/1.1 ")[1:]:
        assert b"Server: flowbridge\r\n" in head
    if b"HTTP/1.1 400" in answered:
        assert orjson.loads(answered.splitlines()[-1]) == {"error": "This isn't a request that HTTP knows."}
    assert [line for line in caplog.records if line.levelno >= logging.INFO] == []


async def test_a_defect_of_ours_is_logged_once_with_its_traceback(client: aiohttp.ClientSession) -> None:
    stage = Stage()
    del stage.document["reasons"]
    with structlog.testing.capture_logs() as lines:
        async with (
            serve(host="127.0.0.1", port=0, surface=stage.surface(None)) as port,
            client.get(f"http://127.0.0.1:{port}/readyz") as response,
        ):
            assert response.status == 500
    assert [(line["event"], line["path"], line["exc_info"]) for line in lines] == [
        ("http_request_failed", "/readyz", True)
    ]
