"""AMQP in web sockets: the upgrade, then messages, whose bounds say nothing about AMQP's frames."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from worker.emulator.server.wire import TcpWire

PATH: Final = "/$servicebus/websocket"
SUBPROTOCOL: Final = "AMQPWSB10"
UNSUPPORTED_DATA: Final = 1003  # RFC 6455, 7.4.1
CLOSE_S: Final = 1.0
MOST_MESSAGE_BYTES: Final = 64 * 1024
"""Clients bound what they take in one message."""


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Until the web socket is closed. aiohttp speaks its frames; the wire that the connection came on, AMQP."""
    refusal = _refusal(request)
    if refusal is not None:
        return _last(refusal)
    web_socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, timeout=CLOSE_S, max_msg_size=0)
    try:
        await web_socket.prepare(request)
    except web.HTTPBadRequest as unsound:
        return _last(web.Response(status=unsound.status, text=unsound.text))
    wire = None if request.transport is None else request.transport.get_protocol()
    if isinstance(wire, TcpWire):
        await _converse(web_socket, wire)
    return web_socket


def _last(response: web.Response) -> web.Response:
    """What is no upgrade doesn't keep the connection."""
    response.force_close()
    return response


def _refusal(request: web.BaseRequest) -> web.Response | None:
    """What keeps the request from being an upgrade to AMQP."""
    if request.path != PATH:
        text = f"There is only {PATH} here, for AMQP in web sockets, and POST to /QUEUE-OR-TOPIC/messages.\n"
        return web.Response(status=404, text=text)
    if request.headers.get("Upgrade", "").strip().lower() != "websocket":
        text = f"Expected an upgrade to a web socket of the subprotocol {SUBPROTOCOL}.\n"
        return web.Response(status=426, text=text, headers={"Upgrade": "websocket"})
    offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if SUBPROTOCOL not in offered:
        text = f"Expected the subprotocol {SUBPROTOCOL} among those offered, got {', '.join(offered) or 'none'}.\n"
        return web.Response(status=400, text=text)
    return None


async def _converse(web_socket: web.WebSocketResponse, wire: TcpWire) -> None:
    """Until either side closes, or the connection is lost."""
    messages = _Messages(web_socket)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(messages.send())
        wire.speak_through(messages)
        async for message in web_socket:
            if message.type is web.WSMsgType.BINARY:
                wire.hear(message.data)
            else:
                await web_socket.close(code=UNSUPPORTED_DATA, message=b"AMQP is binary")
        sending.cancel()


class _Messages:
    """The way out. Kept in order by the one task that sends."""

    def __init__(self, web_socket: web.WebSocketResponse) -> None:
        self._web_socket = web_socket
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MOST_MESSAGE_BYTES):
            self._waiting.put_nowait(data[start : start + MOST_MESSAGE_BYTES])

    def close(self) -> None:
        self._waiting.put_nowait(None)

    async def send(self) -> None:
        with suppress(ConnectionError):  # lost; the reading side hears of it too
            while (data := await self._waiting.get()) is not None:
                await self._web_socket.send_bytes(data)
            await self._web_socket.close()
