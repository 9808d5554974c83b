"""A child: the worker, heard and watched over by its supervisor instead of serving its own port."""

import asyncio
import signal
import socket
from contextlib import suppress
from itertools import count
from typing import Final

from worker.app import built, drained, ease_collector
from worker.metrics.exposition import told
from worker.running import Worker
from worker.stop import Stop, signals_call
from worker.supervisor.brief import Brief
from worker.supervisor.line import Kind, Steered, line_of

TOLD_EVERY_S: Final = 0.5
METRICS_EACH: Final = 5  # of these times: nobody scrapes more often, and it takes a millisecond


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
            beside = [tasks.create_task(_obey(reader, worker, stop)), tasks.create_task(_tell(writer, worker))]
            ease_collector()
            is_clean = await drained(worker, stop, drain_s=brief.settings.worker.drain_s)
            for task in beside:
                task.cancel()
    writer.close()
    return 0 if is_clean else 1


async def _obey(reader: asyncio.StreamReader, worker: Worker, stop: Stop) -> None:
    """What is said of circuits; the line's other end closes when the supervisor was killed."""
    with suppress(ConnectionError):
        async for line in reader:
            if line.endswith(b"\n"):  # what was cut off with the supervisor's end says nothing
                steered = Steered.from_line(line)
                worker.steer(steered.flow, is_isolated=steered.is_isolated)
    stop.requested.set()


async def _tell(writer: asyncio.StreamWriter, worker: Worker) -> None:
    """A line each, for as long as somebody listens."""
    with suppress(ConnectionError):
        for number in count():
            writer.write(line_of(Kind.STATUS, worker.status) + line_of(Kind.RECENT, worker.observing.recent.told()))
            if number % METRICS_EACH == 0:
                writer.write(line_of(Kind.METRICS, told(worker.registry)))
            await writer.drain()
            await asyncio.sleep(TOLD_EVERY_S)
