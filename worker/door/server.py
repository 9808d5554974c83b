"""The door over aiohttp.web: routes, headers, and what a slow or broken client may cost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import structlog
from aiohttp import web

from worker.admin.answers import set_headers
from worker.admin.listening import listening
from worker.core.door.answer import Problem, Response
from worker.core.readiness import Readiness
from worker.door.counter import Counter, Reply, json_response
from worker.door.desk import Desk
from worker.door.limits import Refused
from worker.door.openapi import document
from worker.metrics.door import DoorMetrics

_CLOSING_S: Final = 1.0

_Handler: TypeAlias = Callable[[web.Request], Awaitable[Reply]]

_log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def serve(
    *,
    host: str,
    port: int,
    counter: Counter,
    desk: Desk,
    metrics: DoorMetrics,
    max_body_bytes: int,
    read_readiness: Callable[[], Readiness],
) -> AsyncIterator[int]:
    """The bound port, for as long as the context is open. OSError when it can't be bound."""
    front = _Front(counter, desk, metrics)
    application = web.Application(client_max_size=max_body_bytes + 1)
    application.add_routes(
        [
            web.post("/v1/flows/{flow}", front.route("ask", counter.ask)),
            web.get("/v1/requests/{id}", front.route("fetch", counter.fetch), allow_head=False),
            web.post("/v1/sessions", front.route("session", counter.open_session)),
            web.get("/v1/sessions/{session}/replies/{id}", front.route("reply", counter.fetch), allow_head=False),
            web.get("/openapi.json", front.route("openapi", _openapi)),
            web.get("/livez", front.route("livez", _livez)),
            web.get("/readyz", front.route("readyz", _readyz_of(read_readiness))),
        ]
    )
    application.middlewares.append(front.plainly)
    application.on_response_prepare.append(set_headers)
    async with listening(application, host=host, port=port, closing_s=_CLOSING_S, ends_with_client=True) as bound:
        yield bound


class _Front:
    """Handlers of values, as handlers of aiohttp's."""

    def __init__(self, counter: Counter, desk: Desk, metrics: DoorMetrics) -> None:
        self._counter = counter
        self._desk = desk
        self._metrics = metrics

    def route(self, name: str, handler: _Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            began = asyncio.get_running_loop().time()
            try:
                reply = await handler(request)
            except Refused as refused:
                problem = refused.problem
                _log.info("door_refused", status=problem.status, kind=problem.kind, why=refused.why)
                reply = Reply(response=problem.response())
            self._metrics.responded(name, reply.response.status, asyncio.get_running_loop().time() - began)
            response = await _written(request, reply.response)
            if reply.told is not None:
                self._desk.shelf.told(reply.told)
            return response

        return handle

    @property
    def plainly(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def answered(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException as error:
                problem = Problem(status=error.status, kind="http", detail=f"{error.reason}.")
                allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
                return _of(problem.response(), allow)
            except ConnectionError:
                raise  # who asked has gone
            except Exception:  # noqa: BLE001 - whatever it is, it was ours
                _log.exception("door_failed", path=request.path)
                return _of(
                    Problem(status=500, kind="defect", detail="The door failed on this; its log says why.").response()
                )

        return answered


async def _written(request: web.Request, response: Response) -> web.StreamResponse:
    """To the client's connection; raises ConnectionError where that has gone."""
    written = _of(response)
    await written.prepare(request)
    await written.write_eof()
    return written


def _of(response: Response, more: dict[str, str] | None = None) -> web.Response:
    headers = {**response.headers, **(more or {})}
    if response.content_type is not None:
        headers["Content-Type"] = response.content_type
    return web.Response(status=response.status, headers=headers, body=response.body)


async def _openapi(_request: web.Request) -> Reply:
    return Reply(response=json_response(200, document(), {}))


async def _livez(_request: web.Request) -> Reply:
    return Reply(response=json_response(200, {"status": "alive"}, {}))


def _readyz_of(read_readiness: Callable[[], Readiness]) -> _Handler:
    async def readyz(_request: web.Request) -> Reply:
        ready = read_readiness()
        if ready.is_ready:
            return Reply(response=json_response(200, {"status": "ready"}, {}))
        return Reply(response=json_response(503, {"status": "not ready", "reasons": ready.reasons}, {}))

    return readyz
