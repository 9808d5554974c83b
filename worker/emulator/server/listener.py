"""The port: open, closed, and open again with the same number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Listener:
    def __init__(self, host: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        """`port` 0 takes a free one, once."""
        self.host = host
        self.port = port
        self._protocol = protocol
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Raises OSError when the port is taken."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port, reuse_address=True, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Connections that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
