"""A port, and what a slow or garbled client may cost there."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

from aiohttp import web

from worker.admin.answers import Connection

IDLE_S: Final = 75.0  # longer than between two scrapes
HEADERS_WITHIN_S: Final = 15.0

# aiohttp logs a traceback for whatever strangers send to the port.
_UNHEARD: Final = logging.getLogger(f"{__name__}.unheard")
_UNHEARD.setLevel(logging.CRITICAL)


@asynccontextmanager
async def listening(
    application: web.Application,
    *,
    host: str,
    port: int,
    closing_s: float,
    ends_with_client: bool = False,
    headers_most: int = 128,
    longest_header_bytes: int = 8_190,
) -> AsyncIterator[int]:
    """The bound port (`port` 0: any free one), for as long as the context is open. OSError when it can't be bound.

    `ends_with_client`: a handler is cancelled when who asked has gone.
    """
    loop = asyncio.get_running_loop()
    heard: weakref.WeakSet[Connection] = weakref.WeakSet()
    application.middlewares.insert(0, _hearing(heard))
    runner = web.AppRunner(
        application, handle_signals=False, shutdown_timeout=closing_s, handler_cancellation=ends_with_client
    )
    await runner.setup()
    manager = cast("web.Server", runner.server)

    def connection() -> Connection:
        accepted = Connection(
            manager,
            loop=loop,
            access_log=_UNHEARD,
            logger=_UNHEARD,
            keepalive_timeout=IDLE_S,
            max_headers=headers_most,
            max_field_size=longest_header_bytes,
        )
        loop.call_later(HEADERS_WITHIN_S, cut, weakref.ref(accepted))
        return accepted

    def cut(connection: weakref.ref[Connection]) -> None:
        """Who says no whole request soon; between requests aiohttp sees to that itself."""
        accepted = connection()
        if accepted is not None and accepted not in heard and accepted.transport is not None:
            accepted.transport.abort()

    try:
        server = await loop.create_server(connection, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _hearing(heard: weakref.WeakSet[Connection]) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def hear(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        heard.add(cast("Connection", request.protocol))
        return await handler(request)

    return hear
