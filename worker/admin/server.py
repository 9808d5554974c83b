"""`/livez`, `/readyz` and `/status` over aiohttp.web."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from worker.core.readiness import Readiness

_NO_STORE = {"Cache-Control": "no-store"}


@asynccontextmanager
async def serve(
    *,
    host: str,
    port: int,
    read_readiness: Callable[[], Readiness],
    read_status: Callable[[], Mapping[str, object]],
) -> AsyncIterator[int]:
    """The bound port (`port` 0: any free one), for as long as the context is open. OSError when it can't be bound."""

    async def livez(_: web.Request) -> web.Response:
        # That this runs is the proof: the event loop makes progress. The broker is readiness's business.
        return _json(200, {"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        ready = read_readiness()
        if ready.is_ready:
            return _json(200, {"status": "ready"})
        return _json(503, {"status": "not ready", "reasons": ready.reasons})

    async def status(_: web.Request) -> web.Response:
        return _json(200, read_status())

    application = web.Application()
    application.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/status", status)])
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _json(status: int, document: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json", headers=_NO_STORE)
