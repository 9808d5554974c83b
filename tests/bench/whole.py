"""The whole worker as a process: started, idle, asked at a rate, and given a backlog.

`flowbridge run` with its defaults stands between the embedded broker (a process) and a plain aiohttp flow that answers
with the request's body after --flow-delay. The flow, and the `Requester` that asks, run in this process; the worker's
log goes nowhere. Requests have 500 bytes. CPU is that of a process's one core.

  start to ready   from starting the process to /readyz saying 200; median over starts
  idle CPU         of the worker while nothing comes
  caller p50, p99  ms from when the request was due to its reply, asked at a steady rate from one requester
  worker p50, p99  ms from the broker's enqueuing of the request to the publishing of the reply, as the reply says
  backlog          requests over 50 reply sessions, queued before the worker starts: answered a second and CPU for one,
                   counted at the flow, medians over rounds; broker and flow at CPU near 100 % held the worker up.
                   Afterwards all replies are read and each must be `answered`.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from worker.requester import Requester
from worker.servicebus.connect import Bus, BusOptions, QueueSource

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.feeding import BODY, feed, feeder
from bench.house import House, PlainFlow, serving

SESSIONS: Final = 50
STALLED_S: Final = 120.0


async def asked(house: House, per_s: float, seconds: float) -> list[str]:
    """A row: at a rate."""
    caller_ms: list[float] = []
    worker_ms: list[float] = []

    async def ask(requester: Requester, due: float) -> None:
        reply = await requester.request(BODY, timeout_s=30)
        if reply.outcome != "answered":
            raise RuntimeError(f"A reply was {reply.outcome}: {reply.reason}")
        caller_ms.append((time.perf_counter() - due) * 1000)
        worker_ms.append(reply.elapsed_ms or 0)

    async with Requester(connection_string=house.broker.connection_string) as requester:
        await requester.request(BODY, timeout_s=30)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as asking:
            for number in range(round(per_s * seconds)):
                due = started + number / per_s
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                asking.create_task(ask(requester, due))
    shares = [rig.quantile(each, share) for each in (caller_ms, worker_ms) for share in (0.5, 0.99)]
    return [f"{per_s:g}/s", *(f"{each:.1f}" for each in shares)]


async def drained(house: House, count: int, rounds: int) -> list[str]:
    """A row: the backlog is there."""
    async with house.worker() as (pid, _):
        pids = (pid, house.broker.pid, os.getpid())
        progress = house.flow.progress = rig.Progress(*pids, step=count // (rounds + 2), rounds=rounds)
        async with asyncio.timeout(STALLED_S):
            await progress.until(count)
            answered = await read_answers(house, count)
    per_s, *cpu = progress.medians()
    busy = [f"{each_s * per_s:.0%}" for each_s in cpu]
    return [f"{count:,} requests", f"{per_s:,.0f}", f"{cpu[0] * 1e6:.0f}", *busy, f"{answered:,}"]


async def read_answers(house: House, count: int) -> int:
    """From all sessions; how many were `answered`."""
    async with Bus(BusOptions(connection_string=house.broker.connection_string)) as bus:

        async def read(session: int) -> int:
            expected = len(range(session, count, SESSIONS))
            answered = received = 0
            async with bus.receiver(QueueSource(queue="flow-replies"), session_id=f"s{session}") as receiver:
                while received < expected:
                    messages = await receiver.receive_messages(expected - received, max_wait_time=5)
                    received += len(messages)
                    answered += sum(
                        (each.application_properties or {}).get(b"outcome") == b"answered" for each in messages
                    )
            return answered

        return sum(await asyncio.gather(*map(read, range(SESSIONS))))


async def main(options: argparse.Namespace) -> None:
    cores = rig.Cores() if options.unpinned else rig.Cores.split()
    rig.pin(cores.rest)
    rig.say(cores.told(measured="the worker", rest="flow and requester"))
    async with (
        rig.broker("flow-requests", "flow-replies:session", core=cores.broker) as broker,
        serving(PlainFlow(options.flow_delay)) as flow,
    ):
        house = House(
            broker=broker, flow=flow, core=cores.measured, concurrency=options.concurrency, processes=options.processes
        )
        starts_s = []
        for _ in range(options.starts - 1):
            async with house.worker() as (_, ready):
                starts_s.append(await ready())
        async with house.worker() as (pid, ready):
            starts_s.append(await ready())
            rows = [await asked(house, rate, options.seconds) for rate in options.rates]
            used_s = rig.cpu_s(pid)
            await asyncio.sleep(options.seconds)
            idle = (rig.cpu_s(pid) - used_s) / options.seconds
        rig.say_table(("start to ready, s", "idle CPU"), (f"{statistics.median(starts_s):.2f}", f"{idle:.1%}"))
        rig.say_table(("asked", "caller p50", "p99", "worker p50", "p99"), *rows)
        with feeder(cores.rest) as process:
            arguments = (broker.connection_string, options.count, None, SESSIONS)
            await asyncio.get_running_loop().run_in_executor(process, feed, *arguments)
        head = ("backlog", "requests/s", "CPU us", "worker", "broker", "flow", "answered")
        rig.say_table(head, await drained(house, options.count, options.rounds))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flow-delay", type=float, default=0.0, metavar="S", help="before the flow answers")
    parser.add_argument("--count", type=int, default=3000, help="requests in the backlog (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=200, help="of worker and flow (default %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=1, help="of the worker; its CPU is told of one only (default %(default)s)"
    )
    parser.add_argument("--unpinned", action="store_true", help="each process on whatever core it gets")
    parser.add_argument("--rates", type=float, nargs="+", default=[20, 200], metavar="PER_S", help="to ask at")
    parser.add_argument("--seconds", type=float, default=5, help="at each rate, and idle (default %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="of the worker (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="in the backlog (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
