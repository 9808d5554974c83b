"""Many at once: thousands of requests in the hands of a slow flow, and a backlog that takes minutes.

Broker and `flowbridge run` are processes; load and flow run in this one. For each number in flight, callers who ask
again when they are answered, by a flow that takes --flow-delay; the request queue's locks last --lock. Then --backlog
one-way requests, queued before the worker starts, for a flow that answers at once.

  answered/s, CPU ms   by the worker, over four flow times
  kB each              of the worker's memory for a request in flight: its peak less that of an idle worker
  locks lost           as the worker's log says
  MB at …              the worker's resident memory when so much of the backlog is worked off
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

import uvloop

from worker.cli.bench.cores import Cores, cpu_s, peak_mb
from worker.cli.bench.load import ClosedLoop
from worker.cli.bench.measuring import ENTITIES
from worker.cli.bench.processes import broker, program
from worker.cli.bench.web_flow import web_flow

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.wire import Filler

STARTING_S: Final = 5.0
SESSIONS: Final = 4


@asynccontextmanager
async def worker(
    cores: Cores, connection_string: str, url: str, *, concurrency: int, lock_s: float, log: IO[bytes]
) -> AsyncIterator[int]:
    """Its process id, some seconds after its start."""
    environment = {
        "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": connection_string,
        "FLOWBRIDGE_SERVICEBUS__LOCK_S": str(lock_s),
        "FLOWBRIDGE_FLOWS": json.dumps([{"url": url, "auth": "none", "concurrency": concurrency}]),
        "FLOWBRIDGE_WORKER__CONCURRENCY": str(concurrency),
        "FLOWBRIDGE_HTTP__PORT": "0",
    }
    command = (sys.executable, "-m", "worker", "run")
    async with program(*command, core=cores.measured, environment=environment, stderr=log) as process:
        await asyncio.sleep(STARTING_S)
        yield process.pid


async def in_flight(cores: Cores, entities: Path, number: int, options: argparse.Namespace) -> list[str]:
    """A row."""
    with tempfile.TemporaryFile() as log:
        async with broker(core=cores.broker, config=entities) as bus, web_flow(options.flow_delay) as url:
            load = await ClosedLoop.connected(bus.port)
            await load.open(sessions=SESSIONS, window=2 * number, outcome="answered")
            at_work = worker(cores, bus.connection_string, url, concurrency=number, lock_s=options.lock, log=log)
            async with at_work as pid:
                empty_mb = peak_mb(pid)
                window = await load.run(
                    in_flight=number,
                    warm_up=2 * number,
                    count=4 * number,
                    cpu_s=partial(cpu_s, pid),
                    warm_up_s=4 * options.flow_delay,
                    measured_s=5 * options.flow_delay,
                )
                each_kb = (peak_mb(pid) - empty_mb) * 1024 / number
            load.close()
        log.seek(0)
        lost = log.read().count(b'"event":"lock_lost"')
    measured = len(window.latencies_ms)
    return [
        f"{number:,}",
        f"{measured / window.took_s:,.0f}",
        f"{window.cpu_s / measured * 1000:.2f}",
        f"{each_kb:.0f}",
        str(lost),
    ]


async def backlog(cores: Cores, entities: Path, number: int, lock_s: float) -> list[str]:
    """A row: the worker's memory on the way."""
    with tempfile.TemporaryFile() as log:
        async with broker(core=cores.broker, config=entities) as bus, web_flow() as url:
            filler = await Filler.connected(bus.port)
            await filler.fill("flow-requests", number)
            filler.close()
            at_work = worker(cores, bus.connection_string, url, concurrency=200, lock_s=lock_s, log=log)
            async with at_work as pid:
                resident_mb, ended, read_to = [], 0, 0
                for share in (0.1, 0.5, 0.9):
                    while ended < share * number:
                        await asyncio.sleep(0.2)
                        written = os.pread(log.fileno(), 2**26, read_to)
                        ended, read_to = ended + written.count(b'"event":"request_ended"'), read_to + len(written)
                    resident_mb.append(rig.resident_mb(pid))
    return [f"{number:,}", *(f"{each:.0f}" for each in resident_mb)]


async def main(options: argparse.Namespace) -> None:
    cores = Cores.split()
    rig.pin(cores.rest)
    rig.say(cores.told(measured="the worker", rest="load and flow"))
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        entities = ENTITIES.replace('name = "flow-requests"\n', f'name = "flow-requests"\nlock_s = {options.lock}\n')
        config.write(entities)
        config.flush()
        path = Path(config.name)
        rows = [await in_flight(cores, path, number, options) for number in options.in_flight]
        rig.say_table(("in flight", "answered/s", "CPU ms", "kB each", "locks lost"), *rows)
        row = await backlog(cores, path, options.backlog, options.lock)
        rig.say_table(("backlog", "MB at 10 %", "50 %", "90 %"), row)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[100, 1000, 4000], metavar="N")
    parser.add_argument("--flow-delay", type=float, default=5.0, metavar="S", help="(default %(default)s)")
    parser.add_argument("--lock", type=float, default=15.0, metavar="S", help="(default %(default)s)")
    parser.add_argument("--backlog", type=int, default=100_000, metavar="N", help="(default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
