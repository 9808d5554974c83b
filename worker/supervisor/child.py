"""A child: the worker, heard and watched over by its supervisor instead of serving its own port."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import orjson

from worker.app import built, drained, ease_collector, status_of
from worker.stop import Stop, signals_call
from worker.supervisor.brief import Brief

TOLD_EVERY_S: Final = 0.5


async def run(brief: Brief, line: socket.socket) -> int:
    """Until SIGTERM, or the supervisor's end; the exit status.

    A service manager may signal every process of a service, so a second SIGTERM is no hurry: SIGINT is, and comes from
    the supervisor, because the terminal's doesn't reach a session of our own.
    """
    stop = Stop()
    actions = {signal.SIGTERM: stop.requested.set, signal.SIGINT: stop.hurry}
    with signals_call(actions):
        async with built(brief.settings) as worker, asyncio.TaskGroup() as tasks:
            reader, writer = await asyncio.open_unix_connection(sock=line)
            beside = [
                tasks.create_task(_watch(reader, stop)),
                tasks.create_task(_tell(writer, partial(status_of, worker))),
            ]
            ease_collector()
            is_clean = await drained(worker, stop, drain_s=brief.settings.worker.drain_s)
            for task in beside:
                task.cancel()
    writer.close()
    return 0 if is_clean else 1


async def _watch(reader: asyncio.StreamReader, stop: Stop) -> None:
    """The supervisor says nothing more; its end closes when it was killed."""
    with suppress(ConnectionError):
        await reader.read()
    stop.requested.set()


async def _tell(writer: asyncio.StreamWriter, read_status: Callable[[], Mapping[str, object]]) -> None:
    """One JSON object a line, for as long as somebody listens."""
    with suppress(ConnectionError):
        while True:
            writer.write(orjson.dumps({"status": read_status()}) + b"\n")
            await writer.drain()
            await asyncio.sleep(TOLD_EVERY_S)
