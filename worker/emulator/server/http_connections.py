"""What comes in HTTP: messages sent by POST, and upgrades to web sockets."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from worker.emulator.server import web_sockets
from worker.emulator.server.rest import RestIntake, names_messages

HTTP_IDLE_S: Final = 10.0
"""How long a request's head may take, and the next one on the same connection."""


class HttpConnections:
    """All that come on one port. aiohttp speaks HTTP."""

    def __init__(self, rest: RestIntake) -> None:
        self._rest = rest
        self._server: web.Server | None = None

    def new_connection(self) -> asyncio.Protocol:
        if self._server is None:  # it wants a running loop
            self._server = web.Server(
                self._answer, access_log=None, keepalive_timeout=HTTP_IDLE_S, auto_decompress=False
            )
        return self._server()

    async def close(self) -> None:
        """Once every connection is lost."""
        if self._server is not None:
            await self._server.shutdown(web_sockets.CLOSE_S)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if names_messages(request.path):
            return await self._rest.answer(request)
        return await web_sockets.answer(request)
