"""Why a lane is as it is: ways to receive and complete through the real SDK and `worker.servicebus`, side by side.

A lane receives, completes what came one after the other, and receives again; it is a connection of its own and a task
of this process. The broker and the sender are processes of their own. For each shape, one after the other:

  msg/s      received and completed from a backlog of 500-byte messages; median over rounds
  CPU us     of this process for one of them
  p50, p99   ms from the broker's enqueuing to the lane's having the message, sent one by one at a rate onto an empty
             queue; the broker stamps whole ms: up to 0.5 ms off
  idle %     of a core that this process takes while nothing comes

`window` is how many messages the broker is asked for at once. `most`: a receive that always asks the SDK for several,
and waits for the last of them as long as `wait`, the SDK's max_wait_time, says. Takes about a
minute.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvloop

from worker.servicebus.connect import Bus, BusOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.feeding import feed, feeder
from bench.intakes import Intake, Shape, intake_of

STALLED_S: Final = 60.0
SETTLING_S: Final = 0.7  # beyond the longest wait but one: every lane is in a receive that found nothing
SURPLUS: Final = 200  # messages behind the last round, so that it ends before the lanes run dry


SHAPES: Final = (
    Shape(is_chosen=True),
    Shape(lanes=1),
    Shape(lanes=8),
    Shape(window=1),
    Shape(lanes=8, window=1),
    Shape(window=32),
    Shape(lanes=8, most=10, wait_s=0.02),
    Shape(lanes=8, most=10, wait_s=1.0),
)


async def keep_taking(intake: Intake, took: Callable[[float], None], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for latency_ms in await intake.take():
            took(latency_ms)


async def measured(
    shape: Shape, bus: Bus, options: argparse.Namespace, send: Callable[..., asyncio.Future[None]]
) -> list[str]:
    """A row of the table."""
    progress = rig.Progress(os.getpid(), step=options.messages, rounds=options.rounds)
    backlog, sent = progress.whole + SURPLUS, round(options.rate * options.seconds)
    latencies_ms: list[float] = []

    def took(latency_ms: float) -> None:
        progress.count()
        latencies_ms.append(latency_ms)

    intakes = [intake_of(bus, shape) for _ in range(shape.lanes)]
    await asyncio.gather(send(backlog), *(intake.open() for intake in intakes))
    stop = asyncio.Event()
    async with asyncio.timeout(STALLED_S), asyncio.TaskGroup() as lanes:
        for intake in intakes:
            lanes.create_task(keep_taking(intake, took, stop))
        await progress.until(backlog)
        await asyncio.sleep(SETTLING_S)
        used_s = rig.cpu_s(os.getpid())
        await asyncio.sleep(options.seconds)
        idle = (rig.cpu_s(os.getpid()) - used_s) / options.seconds
        latencies_ms.clear()
        await send(sent, options.rate)
        await progress.until(backlog + sent)
        stop.set()
    await asyncio.gather(*(intake.close() for intake in intakes))
    per_s, cpu_s = progress.medians()
    p50_ms, p99_ms = (rig.quantile(latencies_ms, share) for share in (0.5, 0.99))
    return [str(shape), f"{per_s:,.0f}", f"{cpu_s * 1e6:.0f}", f"{p50_ms:.1f}", f"{p99_ms:.1f}", f"{idle:.1%}"]


async def main(options: argparse.Namespace) -> None:
    cores = rig.Cores.split()
    rig.pin(cores.measured)
    rig.say(cores.told(measured="the lanes", rest="the sender"))
    loop = asyncio.get_running_loop()
    head = ["lanes", "msg/s", "CPU us", f"p50 at {options.rate:g}/s", "p99", "idle %"]
    async with rig.broker("flow-requests", core=cores.broker) as broker:
        with feeder(cores.rest) as process:

            def send(count: int, per_s: float | None = None) -> asyncio.Future[None]:
                return loop.run_in_executor(process, feed, broker.connection_string, count, per_s)

            async with Bus(BusOptions(connection_string=broker.connection_string)) as bus:
                rig.say_table(head, *[await measured(shape, bus, options, send) for shape in SHAPES])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=500, help="in a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--rate", type=float, default=200, help="messages/s for the latency (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="at that rate, and idle (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
