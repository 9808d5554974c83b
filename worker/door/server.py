"""The door over aiohttp.web: routes, headers, and what a slow or broken client may cost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Final, TypeAlias

import structlog
from aiohttp import web

from worker.admin.answers import set_headers
from worker.admin.listening import listening
from worker.core.door.answer import Problem, Response
from worker.core.readiness import Readiness
from worker.door.counter import Counter, Reply, json_response
from worker.door.desk import Desk
from worker.door.form import HEADERS_MOST, LONGEST_HEADER_BYTES, check_form
from worker.door.limits import Refused
from worker.door.openapi import document
from worker.metrics.door import DoorMetrics

TAKEN_WITHIN_S: Final = 60.0
_CLOSING_S: Final = 1.0

_NO_ROUTE: Final = "(none)"

_Handler: TypeAlias = Callable[[web.Request], Awaitable[Reply]]
_Writer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

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
    front = _Front(desk, metrics)
    application = web.Application(client_max_size=max_body_bytes)
    application.add_routes(
        [
            front.post("/v1/flows/{flow}", counter.ask, name="ask"),
            front.get("/v1/requests/{id}", counter.fetch, name="fetch", allow_head=False),
            front.post("/v1/sessions", counter.open_session, name="session"),
            front.get("/v1/sessions/{session}/replies/{id}", counter.fetch, name="reply", allow_head=False),
            front.get("/openapi.json", _openapi, name="openapi"),
            front.get("/livez", _livez, name="livez"),
            front.get("/readyz", _readyz_of(read_readiness), name="readyz"),
        ]
    )
    application.middlewares.append(front.plainly)
    application.on_response_prepare.append(set_headers)
    async with listening(
        application,
        host=host,
        port=port,
        closing_s=_CLOSING_S,
        ends_with_client=True,
        headers_most=HEADERS_MOST,
        longest_header_bytes=LONGEST_HEADER_BYTES,
    ) as bound:
        yield bound


class _Front:
    """Handlers of values, as handlers of aiohttp's."""

    def __init__(self, desk: Desk, metrics: DoorMetrics) -> None:
        self._desk = desk
        self._metrics = metrics

    def get(self, path: str, handler: _Handler, *, name: str, allow_head: bool = True) -> web.RouteDef:
        """`allow_head`: False where an answer is told, which takes a body."""
        return web.get(path, self._writing(handler), name=name, allow_head=allow_head, expect_handler=_expected_later)

    def post(self, path: str, handler: _Handler, *, name: str) -> web.RouteDef:
        return web.post(path, self._writing(handler), name=name, expect_handler=_expected_later)

    def _writing(self, handler: _Handler) -> _Writer:
        async def write(request: web.Request) -> web.StreamResponse:
            reply = await handler(request)
            response = await _written(request, reply.response)
            if reply.told is not None:
                self._desk.shelf.told(reply.told)
            return response

        return write

    @property
    def plainly(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def answered(request: web.Request, handler: _Writer) -> web.StreamResponse:
            began = asyncio.get_running_loop().time()
            try:
                check_form(request)
                response = await handler(request)
            except ConnectionError:
                raise  # who asked has gone
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told as a problem
                response = _of(_problem_of(error, request).response())
                if not request.content.is_eof():
                    response.force_close()  # nobody reads the rest of what it brings
            took_s = asyncio.get_running_loop().time() - began
            self._metrics.responded(request.match_info.route.name or _NO_ROUTE, response.status, took_s)
            return response

        return answered


def _problem_of(error: Exception, request: web.Request) -> Problem:
    match error:
        case Refused(problem=problem, why=why):
            _log.info("door_refused", status=problem.status, kind=problem.kind, why=why)
            return problem
        case web.RequestPayloadError():
            return Problem(status=400, kind="broken-body", detail="The body broke off, or isn't what its headers say.")
        case web.HTTPException(status=status, reason=reason, headers=headers):
            allow = {"Allow": headers["Allow"]} if "Allow" in headers else {}
            return Problem(status=status, kind="http", detail=f"{reason}.", headers=allow)
        case _:
            _log.exception("door_failed", path=request.path)
            return Problem(status=500, kind="defect", detail="The door failed on this; its log says why.")


async def _expected_later(_request: web.Request) -> None:
    """Whoever expects `100 Continue` gets it from the counter, when the body is wanted."""


async def _written(request: web.Request, response: Response) -> web.StreamResponse:
    """To the client's connection; raises ConnectionError where that has gone, or takes nothing."""
    written = _of(response)
    try:
        async with asyncio.timeout(TAKEN_WITHIN_S):
            await written.prepare(request)
            await written.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError from None
    return written


def _of(response: Response) -> web.Response:
    headers = dict(response.headers)
    if response.content_type is not None:
        headers["Content-Type"] = response.content_type
    return web.Response(status=response.status, headers=headers, body=response.body)


async def _openapi(_request: web.Request) -> Reply:
    return Reply(response=_description())


@cache
def _description() -> Response:
    return json_response(200, document(), {})


async def _livez(_request: web.Request) -> Reply:
    return Reply(response=json_response(200, {"status": "alive"}, {}))


def _readyz_of(read_readiness: Callable[[], Readiness]) -> _Handler:
    async def readyz(_request: web.Request) -> Reply:
        ready = read_readiness()
        if ready.is_ready:
            return Reply(response=json_response(200, {"status": "ready"}, {}))
        return Reply(response=json_response(503, {"status": "not ready", "reasons": ready.reasons}, {}))

    return readyz
