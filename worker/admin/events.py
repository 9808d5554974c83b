"""`GET /events`: one status document at once and then each second, as server-sent events."""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import orjson
from aiohttp import web

from worker.admin.answers import refusal

MOST_WATCHERS: Final = 20
STUCK_S: Final = 10.0  # who takes nothing for as long has gone, or might as well

_HEADERS: Final = {"X-Accel-Buffering": "no"}  # proxies would hold events back until they fill a buffer
_RECONNECT: Final = b"retry: 2000\n\n"  # ms


class Events:
    """However many watch, a second's document is made once, and not at all while nobody does."""

    def __init__(self, read_status: Callable[[], Mapping[str, object]]) -> None:
        self._read_status = read_status
        self._closing = asyncio.Event()
        self._watchers: set[asyncio.Transport] = set()
        self._made_in = -math.inf  # seconds of the loop's clock, whole
        self._message = b""

    async def watch(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        if len(self._watchers) >= MOST_WATCHERS:
            return refusal(503, f"{MOST_WATCHERS} watch already, which is the most; /status is for everybody.")
        self._watchers.add(transport)
        try:
            return await self._stream(request)
        except TimeoutError:
            transport.abort()
            raise ConnectionResetError from None
        finally:
            self._watchers.discard(transport)

    async def close(self, _application: web.Application) -> None:
        """For `on_shutdown`. Nobody is waited for: who is slow to take what was sent, is cut off."""
        self._closing.set()
        for transport in self._watchers:
            if transport.get_write_buffer_size():
                transport.abort()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await response.write(_RECONNECT)
        loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            second = math.floor(loop.time())
            async with asyncio.timeout(STUCK_S):
                await response.write(self._message_of(second))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(second + 1):
                    await self._closing.wait()
        return response

    def _message_of(self, second: int) -> bytes:
        if self._made_in != second:
            self._message = b"data: %b\n\n" % orjson.dumps(self._read_status())
            self._made_in = second
        return self._message
