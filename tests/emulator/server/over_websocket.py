"""The client that can say what no SDK says, in a web socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
from emulator.server.raw import RawClient

ENDPOINT = "/$servicebus/websocket"
SUBPROTOCOL = "AMQPWSB10"


class Messages:
    """Takes the transport's place. `piece_bytes`: how much goes into one message."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, piece_bytes: int) -> None:
        self._socket = socket
        self._piece_bytes = piece_bytes
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), self._piece_bytes):
            self._waiting.put_nowait(data[start : start + self._piece_bytes])

    async def send(self) -> None:
        while True:
            await self._socket.send_bytes(await self._waiting.get())


@asynccontextmanager
async def in_websocket(
    port: int, *, piece_bytes: int = 1 << 20
) -> AsyncIterator[tuple[RawClient, aiohttp.ClientWebSocketResponse]]:
    """Upgraded, and nothing of AMQP said."""
    client = RawClient()
    url = f"ws://127.0.0.1:{port}{ENDPOINT}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=[SUBPROTOCOL], timeout=aiohttp.ClientWSTimeout(ws_close=1)) as socket,
    ):
        messages = Messages(socket, piece_bytes=piece_bytes)
        client.connection_made(cast("asyncio.Transport", messages))
        sending = asyncio.create_task(messages.send())
        hearing = asyncio.create_task(_hear(client, socket))
        try:
            yield client, socket
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.wait((sending, hearing))


async def _hear(client: RawClient, socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        client.data_received(message.data)
    client.connection_lost(None)
