"""A broker that is some milliseconds away: what passes between it and the subject comes so much later, both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_MOST_BYTES: Final = 2**16


@asynccontextmanager
async def relay(port: int, *, round_trip_s: float) -> AsyncIterator[int]:
    """Its own port, on the way to one of this machine."""
    late_s = round_trip_s / 2

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # an end that goes away is an end
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pass_on(reader, far_writer, late_s))
                ways.create_task(_pass_on(far_reader, writer, late_s))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while data := await reader.read(_MOST_BYTES):
            loop.call_later(late_s, writer.write, data)
    loop.call_later(late_s, writer.close)
