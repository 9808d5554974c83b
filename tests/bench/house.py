"""The worker as a process, and a plain aiohttp flow in this one."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp
from aiohttp import web
from bench import rig

READY_S: Final = 30.0


class PlainFlow:
    """Answers with what it was asked. `progress` counts the answers, where somebody has set it."""

    def __init__(self, delay_s: float) -> None:
        self.url = ""
        self.progress: rig.Progress | None = None
        self._delay_s = delay_s

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self.progress is not None:
            self.progress.count()
        return web.Response(body=body, headers={"x-ms-workflow-run-id": "bench"})


Flow = TypeVar("Flow", bound=PlainFlow)


@asynccontextmanager
async def serving(flow: Flow) -> AsyncIterator[Flow]:
    application = web.Application()
    application.router.add_post("/flow", flow.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        flow.url = f"http://127.0.0.1:{runner.addresses[0][1]}/flow"
        yield flow
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    broker: rig.BrokerProcess
    flow: PlainFlow
    core: int | None
    concurrency: int
    lock_s: float = 60.0
    processes: int = 1

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[tuple[int, Callable[[], Awaitable[float]]]]:
        """Its process id, and what waits until it is ready and says how many seconds that took."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        flow = {"url": self.flow.url, "auth": "none", "concurrency": self.concurrency}
        environment = {
            "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": self.broker.connection_string,
            "FLOWBRIDGE_FLOWS": json.dumps([flow]),
            "FLOWBRIDGE_SERVICEBUS__LOCK_S": str(self.lock_s),
            "FLOWBRIDGE_WORKER__CONCURRENCY": str(self.concurrency),
            "FLOWBRIDGE_WORKER__PROCESSES": str(self.processes),
            "FLOWBRIDGE_HTTP__PORT": str(port),
        }
        started = time.perf_counter()

        async def ready() -> float:
            async with asyncio.timeout(READY_S):
                while not await _is_ready(port):  # noqa: ASYNC110 - another process can't set our event
                    await asyncio.sleep(0.005)
            return time.perf_counter() - started

        async with rig.flowbridge("run", core=self.core, environment=environment) as process:
            yield process.pid, ready


async def _is_ready(port: int) -> bool:
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
