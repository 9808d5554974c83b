"""An aiohttp server on a free port of 127.0.0.1, from `async with` to its end."""

import ssl
from types import TracebackType
from typing import Final, Self

from aiohttp import web

# Calls that hang are cut at the end, not waited for.
SHUTDOWN_S: Final = 0.1


class Loopback:
    def __init__(self, app: web.Application, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
        self._ssl_context = ssl_context

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._ssl_context).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        port = self._runner.addresses[0][1]
        assert isinstance(port, int)  # noqa: S101 - an IPv4 socket's address is (host, port)
        return port

    @property
    def url(self) -> str:
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"
