"""What it costs to keep thousands of locks alive: one-way requests, all in the hands of a flow that takes its time.

The broker is a process, as is `flowbridge run`; flow and sender run in this one. CPU is of the worker's one core, taken
while nothing happens but renewals, less what an idle worker takes.

  renewed        locks renewed a second: each within two fifths to half of its life
  us each        CPU for one renewal
  kB each        of the worker's memory for one request in flight
  lost           requests that came to the flow more than once, because their lock was lost
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.feeding import feed, feeder
from bench.house import House, PlainFlow, serving

RENEWED_AT: Final = 0.45  # of a lock's life, on average
QUEUE: Final = '[[queues]]\nname = "flow-requests"\nlock_s = {}\n'
FILLED_S: Final = 120.0


class SlowFlow(PlainFlow):
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.calls: Counter[str] = Counter()
        self.may_answer = asyncio.Event()
        self.called = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        async with self.called:
            self.calls[request.headers["Idempotency-Key"]] += 1
            self.called.notify_all()
        await self.may_answer.wait()
        return await super().answer(request)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(FILLED_S), self.called:
            await self.called.wait_for(lambda: len(self.calls) >= count)


async def row(cores: rig.Cores, in_flight: int, options: argparse.Namespace) -> list[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(QUEUE.format(options.lock))
        config.flush()
        flow = SlowFlow()
        async with (
            rig.broker("flow-replies:session", core=cores.broker, config=Path(config.name)) as broker,
            serving(flow),
        ):
            house = House(broker=broker, flow=flow, core=cores.measured, concurrency=in_flight, lock_s=options.lock)
            async with house.worker() as (pid, ready):
                await ready()
                idle_s, empty_mb = await used(pid, 5.0), rig.resident_mb(pid)
                with feeder(cores.rest) as process:
                    arguments = (broker.connection_string, in_flight)
                    await asyncio.get_running_loop().run_in_executor(process, feed, *arguments)
                await flow.until(in_flight)
                await asyncio.sleep(options.lock)  # the renewals spread out
                full_s, full_mb = await used(pid, options.seconds), rig.resident_mb(pid)
                lost = sum(times - 1 for times in flow.calls.values())
                flow.may_answer.set()
    per_s = in_flight / (RENEWED_AT * options.lock)
    each_us = (full_s - idle_s) / per_s * 1e6
    memory_kb = (full_mb - empty_mb) * 1024 / in_flight
    return [f"{in_flight:,}", f"{per_s:,.0f}", f"{full_s:.0%}", f"{each_us:,.0f}", f"{memory_kb:,.0f}", str(lost)]


async def used(pid: int, seconds: float) -> float:
    """CPU seconds a second."""
    before = rig.cpu_s(pid)
    await asyncio.sleep(seconds)
    return (rig.cpu_s(pid) - before) / seconds


async def main(options: argparse.Namespace) -> None:
    cores = rig.Cores.split()
    rig.pin(cores.rest)
    rig.say(cores.told(measured="the worker", rest="flow and sender"))
    rows = [await row(cores, in_flight, options) for in_flight in options.in_flight]
    rig.say_table(("in flight", "renewed/s", "CPU", "us each", "kB each", "lost"), *rows)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[100, 1000, 4000], metavar="N")
    parser.add_argument(
        "--lock", type=float, default=15.0, metavar="S", help="how long one lasts (default %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="to measure for (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
