"""The port: open, closed, and open again with the same number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

TLS_BOUNDS: Final[dict[str, Any]] = {"ssl_handshake_timeout": 10.0, "ssl_shutdown_timeout": 1.0}
"""For a client that stops in the middle; asyncio's own are 60 and 30 s."""


class Listener:
    def __init__(
        self, host: str, port: int, protocol: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> None:
        """`port` 0 takes a free one, once."""
        self.host = host
        self.port = port
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, **TLS_BOUNDS}
        self._protocol = protocol
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Raises OSError when the port is taken."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._protocol, self.host, self.port, reuse_address=True, backlog=1024, **self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Connections that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
