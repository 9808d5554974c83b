"""The worker's HTTP surface over aiohttp.web: probes, status and its page, metrics, and the steering of circuits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from worker.admin.answers import answered_plainly, json_answer, set_headers
from worker.admin.events import Events
from worker.admin.listening import listening
from worker.admin.page.document import assembled_page
from worker.admin.steering import steering_routes
from worker.admin.surface import Exposition, Steer, Surface

__all__ = ["Exposition", "Steer", "Surface", "serve"]

CLOSING_S: Final = 0.5


@asynccontextmanager
async def serve(*, host: str, port: int, surface: Surface) -> AsyncIterator[int]:
    """The bound port (`port` 0: any free one), for as long as the context is open. OSError when it can't be bound."""
    async with listening(_application(surface), host=host, port=port, closing_s=CLOSING_S) as bound:
        yield bound


def _application(surface: Surface) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        # That this runs is the proof: the event loop makes progress. The broker is readiness's business.
        return json_answer({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        ready = surface.read_readiness()
        if ready.is_ready:
            return json_answer({"status": "ready"})
        return json_answer({"status": "not ready", "reasons": ready.reasons}, status=503)

    async def status(_: web.Request) -> web.Response:
        return json_answer(surface.read_status())

    async def metrics(request: web.Request) -> web.Response:
        exposition = surface.read_metrics(request.headers.get("Accept", ""))
        return web.Response(body=exposition.body, headers={"Content-Type": exposition.content_type})

    async def index(_: web.Request) -> web.Response:
        return web.Response(
            body=page.body, content_type="text/html", charset="utf-8", headers={"Content-Security-Policy": page.policy}
        )

    page, events = assembled_page(), Events(surface.read_status)
    application = web.Application(middlewares=[answered_plainly])
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", metrics),
            web.get("/", index),
            web.get("/events", events.watch, allow_head=False),
            *steering_routes(surface),
        ]
    )
    application.on_response_prepare.append(set_headers)
    application.on_shutdown.append(events.close)
    return application
