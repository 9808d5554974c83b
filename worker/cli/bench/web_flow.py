"""A flow as light as it can be, so that it leaves the cores to others: HTTP/1.1 that answers with what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

_END_OF_HEAD: Final = b"\r\n\r\n"
_MOST_HEAD_BYTES: Final = 65_536
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nx-ms-workflow-run-id: bench\r\nContent-Length: %d\r\n\r\n%b"
_REFUSAL: Final = b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Refused(Exception):
    """Nothing more of this connection can be read. `status`: its number and words, to be told."""

    def __init__(self, status: bytes) -> None:
        super().__init__(status.decode())
        self.status = status


class RequestReader:
    """Bytes in, however they are cut; bodies of requests out. A body has a Content-Length, or there is none."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._body_at = 0  # behind the head that has been read, 0 before
        self._body_bytes = 0

    def feed(self, data: bytes) -> None:
        self._read += data

    def next_body(self) -> bytes | None:
        """None: more bytes are needed. Raises Refused."""
        if not self._body_at and not self._read_head():
            return None
        end = self._body_at + self._body_bytes
        if len(self._read) < end:
            return None
        body = bytes(self._read[self._body_at : end])
        del self._read[:end]
        self._body_at = 0
        return body

    def _read_head(self) -> bool:
        end = self._read.find(_END_OF_HEAD)
        if end > _MOST_HEAD_BYTES or (end < 0 and len(self._read) > _MOST_HEAD_BYTES):
            raise Refused(b"431 Request Header Fields Too Large")
        if end < 0:
            return False
        self._body_bytes = _length_in(bytes(self._read[:end]))
        self._body_at = end + len(_END_OF_HEAD)
        return True


def _length_in(head: bytes) -> int:
    length = b"0"
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = value.strip()
        elif name.lower() == b"transfer-encoding":
            raise Refused(b"411 Length Required")
    if not length.isdigit():
        raise Refused(b"400 Bad Request")
    return int(length)


class FlowConnection(asyncio.Protocol):
    """Answers each request `delay_s` after it came. `standing`: the connections that there are."""

    def __init__(self, delay_s: float, standing: set[asyncio.Transport]) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._delay_s = delay_s
        self._standing = standing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._standing.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._standing.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (body := self._reader.next_body()) is not None:
                answer = _ANSWER % (len(body), body)
                if self._delay_s:
                    self._loop.call_later(self._delay_s, self._transport.write, answer)
                else:
                    self._transport.write(answer)
        except Refused as refused:
            self._transport.write(_REFUSAL % refused.status)
            self._transport.close()


@asynccontextmanager
async def web_flow(delay_s: float = 0.0) -> AsyncIterator[str]:
    """Its URL."""
    standing: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FlowConnection(delay_s, standing), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/flow"
    finally:
        server.close()
        for transport in standing:
            transport.close()
