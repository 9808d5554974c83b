"""Calling flows over real sockets: the client, its calls, and a raw server for what no HTTP library would say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from worker.core.flow_spec import FlowSpec, RetrySpec
from worker.core.outcome import FlowOutcome, Running
from worker.core.request import Call
from worker.flow.call import FlowCall
from worker.flow.client import FlowClient
from worker.flow.token import Credential

SCOPE = "https://service.flow.microsoft.com//.default"
QUICK = RetrySpec(attempts=3, first_s=0.01, max_s=0.05)


@dataclass(kw_only=True)
class Caller:
    """Opens a client per flow spec, and calls."""

    tokens: Credential
    clients: list[FlowClient] = field(default_factory=list)

    async def client(self, *flows: FlowSpec) -> FlowClient:
        client = await FlowClient(flows, self.tokens).__aenter__()
        self.clients.append(client)
        return client

    async def start(self, spec: FlowSpec, *, within_s: float | None = 5.0, body: bytes = b"{}") -> FlowCall:
        return (await self.client(spec)).start(call_of(spec, within_s=within_s, body=body))

    async def call(self, spec: FlowSpec, *, within_s: float | None = 5.0, body: bytes = b"{}") -> FlowOutcome:
        """To the end: the answer of a run that goes on is fetched, for as long as an attempt may take at most."""
        until = asyncio.get_running_loop().time() + (spec.timeout_s if within_s is None else within_s)
        client = await self.client(spec)
        outcome = await client.start(call_of(spec, within_s=within_s, body=body)).run()
        while isinstance(outcome, Running):
            outcome = await client.fetch(spec, outcome, until=until, stays_until=until).run()
        return outcome


def call_of(spec: FlowSpec, *, within_s: float | None = 5.0, body: bytes = b"{}", request_id: str = "r-1") -> Call:
    return Call(
        flow=spec,
        retry=spec.retry,
        request_id=request_id,
        idempotency_key=f"key-{request_id}",
        body=body,
        content_type="application/json",
        trace={},
        deadline=None if within_s is None else asyncio.get_running_loop().time() + within_s,
    )


def spec_of(url: str, **changes: Any) -> FlowSpec:
    spec = FlowSpec(name="credit-check", url=url, scope=SCOPE, timeout_s=3.0, retry=QUICK)
    return replace(spec, **changes)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """The URL of a TCP server whose every connection is `handler`'s."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await handler(reader, writer)
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/workflows/raw"
    finally:
        for task in connections:
            task.cancel()
        server.close()


def says(answer: bytes) -> Handler:
    """Reads a whole request, then writes `answer` and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    return handler


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


def says_in_pieces(*pieces: bytes) -> Handler:
    """Reads a whole request, then writes piece after piece, each when the one before was read; closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await turns_of_the_loop()

    return handler


async def turns_of_the_loop(count: int = 3) -> None:
    """What was written over loopback before has been read after them, by a reader in this loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def http(status: int, *headers: str, body: bytes = b"") -> bytes:
    """An answer as it should be."""
    lines = [f"HTTP/1.1 {status} Told", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
