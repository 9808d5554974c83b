"""What the door adds to the queue path, and what callers who wait cost it.

`python tests/bench/door.py`; at least two cores: the door has one, broker, worker, flow and callers share the other.

  adds      ms from when a request was due to its answer, at a steady rate: blocks through the door and blocks through a
            `Requester` of this process take turns; 500 bytes, which the flow echoes at once
  waiting   callers on one door process, all at once, while no worker runs: the door's resident memory for each, its
            loop's lag, and how many were answered once a worker was started
"""

import argparse
import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from worker.requester import Requester

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.feeding import BODY
from bench.house import House, PlainFlow, serving

TIMEOUT_S: Final = 100.0
READY_S: Final = 30.0
BLOCK_S: Final = 2.0
POLLS_S: Final = 0.05

Ask = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """`admin_url`: of its status."""

    pid: int
    url: str
    admin_url: str
    http: aiohttp.ClientSession

    async def ask(self, body: bytes = BODY) -> None:
        async with self.http.post(f"{self.url}/v1/flows/flow", data=body) as answer:
            if answer.status != 200 or await answer.read() != body:
                raise RuntimeError(f"The door answered {answer.status}: {(await answer.read())[:200]!r}")

    async def status(self) -> dict[str, Any]:
        async with self.http.get(f"{self.admin_url}/status") as answer:
            document: dict[str, Any] = await answer.json()
            return document


@asynccontextmanager
async def opened(broker: rig.BrokerProcess, *, core: int | None, most: int) -> AsyncIterator[Door]:
    """A door process that is ready. `most`: callers that may wait."""
    ports = _free_ports(2)
    environment = {
        "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": broker.connection_string,
        "FLOWBRIDGE_DOOR__PORT": str(ports[0]),
        "FLOWBRIDGE_DOOR__REPLICA": "door-0",
        "FLOWBRIDGE_DOOR__MAX_WAITING": str(most),
        "FLOWBRIDGE_DOOR__DRAIN_S": "1",
        "FLOWBRIDGE_HTTP__PORT": str(ports[1]),
    }
    url, admin_url = (f"http://127.0.0.1:{port}" for port in ports)
    no_limit = aiohttp.ClientTimeout(total=TIMEOUT_S + 20)
    async with (
        rig.flowbridge("door", core=core, environment=environment) as process,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=no_limit) as http,
    ):
        async with asyncio.timeout(READY_S):
            while not await _is_ready(http, url):  # noqa: ASYNC110 - another process can't set our event
                await asyncio.sleep(POLLS_S)
        yield Door(pid=process.pid, url=url, admin_url=admin_url, http=http)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in listeners]
    finally:
        for each in listeners:
            each.close()


async def steadily(ask: Ask, took_ms: list[float], *, per_s: float, seconds: float) -> None:
    async def timed(due: float) -> None:
        await ask()
        took_ms.append((time.perf_counter() - due) * 1000)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for number in range(round(per_s * seconds)):
            due = started + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.create_task(timed(due))


async def added(house: House, door: Door, *, per_s: float, blocks: int) -> None:
    """A table: through the door, through a requester, and the difference."""
    through_door: list[float] = []
    through_queue: list[float] = []
    async with (
        house.worker() as (_, worker_ready),
        Requester(connection_string=house.broker.connection_string) as requester,
    ):
        await worker_ready()

        async def ask() -> None:
            reply = await requester.request(BODY, flow="flow", timeout_s=30)
            if reply.body != BODY:
                raise RuntimeError(f"A reply was {reply.outcome}: {reply.reason}")

        for warm in (door.ask, ask):
            await steadily(warm, [], per_s=per_s, seconds=1.0)
        cpu_s, began = rig.cpu_s(door.pid), len(through_door)
        for _ in range(blocks):
            await steadily(ask, through_queue, per_s=per_s, seconds=BLOCK_S)
            await steadily(door.ask, through_door, per_s=per_s, seconds=BLOCK_S)
        each_ms = (rig.cpu_s(door.pid) - cpu_s) * 1000 / (len(through_door) - began)
    shares = (0.5, 0.9, 0.99)
    rows = [[rig.quantile(each, share) for share in shares] for each in (through_door, through_queue)]
    rows.append([with_door - without for with_door, without in zip(*rows, strict=True)])
    rig.say_table(
        (f"{per_s:g}/s, ms", "p50", "p90", "p99"),
        *(
            (name, *(f"{value:.1f}" for value in row))
            for name, row in zip(("through the door", "through a requester", "the door adds"), rows, strict=True)
        ),
    )
    rig.say(f"{len(through_door):,} each; CPU of the door for one: {each_ms:.1f} ms\n")


async def waited(house: House, door: Door, callers: int) -> None:
    """So many at once, who are all answered in the end."""
    before_mb = rig.resident_mb(door.pid)
    bodies = [f"{number}".encode().ljust(len(BODY)) for number in range(callers)]
    asking = [asyncio.create_task(door.ask(body)) for body in bodies]
    async with asyncio.timeout(TIMEOUT_S):
        while await _queued(door) < callers:  # noqa: ASYNC110 - another process can't set our event
            await asyncio.sleep(POLLS_S)
    waiting_mb = rig.resident_mb(door.pid)
    lag_asking_s = (await door.status())["loop_lag_s"]
    async with house.worker():
        began = time.perf_counter()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        took_s = time.perf_counter() - began
    lost = [error for error in ended if error is not None]
    each_kb = (waiting_mb - before_mb) * 1024 / callers
    rig.say_table(
        ("waiting", "MB before", "MB waiting", "kB each", "lag s", "own answer", "after s", "lag s", "MB after"),
        (
            f"{callers:,} callers",
            f"{before_mb:.0f}",
            f"{waiting_mb:.0f}",
            f"{each_kb:.1f}",
            f"{lag_asking_s:.3f}",
            f"{callers - len(lost):,}",
            f"{took_s:.1f}",
            f"{(await door.status())['loop_lag_s']:.3f}",
            f"{rig.resident_mb(door.pid):.0f}",
        ),
    )
    if lost:
        rig.say(f"Not answered: {len(lost)}, the first: {lost[0]!r}")


async def _queued(door: Door) -> int:
    """Requests that wait at the door."""
    async with door.http.get(f"{door.admin_url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith("flowbridge_door_in_hand "):
                return int(float(line.rpartition(" ")[2]))
    raise RuntimeError("The door's metrics don't say how many requests are in hand.")


async def main(asked: argparse.Namespace) -> None:
    cores = rig.Cores.split()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rig.say(f"$ python tests/bench/door.py --per-s {asked.per_s:g} --blocks {asked.blocks} --callers {asked.callers}")
    rig.say(f"{os.cpu_count()} cores; the door on {cores.measured}, all else on {cores.broker}\n")
    rig.pin(cores.broker)
    async with rig.broker(*asked.queues, core=cores.broker) as broker, serving(PlainFlow(0.0)) as flow:
        house = House(broker=broker, flow=flow, core=cores.broker, concurrency=200)
        async with opened(broker, core=cores.measured, most=asked.callers) as door:
            await added(house, door, per_s=asked.per_s, blocks=asked.blocks)
        async with opened(broker, core=cores.measured, most=asked.callers) as door:
            await waited(house, door, asked.callers)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-s", type=float, default=100.0)
    parser.add_argument("--blocks", type=int, default=10, help=f"of {BLOCK_S:g} s, each way")
    parser.add_argument("--callers", type=int, default=2_000)
    parser.set_defaults(queues=("flow-requests", "flow-replies:session"))
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
