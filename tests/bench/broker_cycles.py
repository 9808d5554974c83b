"""The embedded broker at the wire: whole request cycles, and what it can hold.

A cycle is six steps: a request is sent, delivered and completed; its reply is sent, delivered and completed. Bodies
have 500 bytes; the reply queue has sessions and detects duplicates. Both ends, the caller's and the responder's, are
`worker.emulator.amqp` engines in this process, a connection each: far cheaper than an SDK. Medians over rounds.

  in flight    cycles under way at once; another starts as one ends
  cycles/s     as measured
  CPU us       what a cycle takes of the broker's core
  per core/s   the cycles that one core could do, 1 s / CPU: above cycles/s where the broker waits for this client

--hold adds, at a fresh broker: connections (each with a session and a receiver that waits at an empty queue), then
messages (queued on another one, 500 bytes each): the time they took to come, the broker's resident memory then and its
growth for each; and last the cycles with 20 in flight while all that is held.
"""

import argparse
import asyncio
import resource
import sys
import time
from pathlib import Path

import uvloop

from worker.cli.bench.wire import End
from worker.emulator.amqp.performatives import RECEIVER

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from bench.wire import Caller, Filler, Responder

STALLED_S = 60.0
HEAD = ("in flight", "cycles/s", "CPU us", "per core/s")


async def cycles(broker: rig.BrokerProcess, in_flight: int, options: argparse.Namespace, name: str = "") -> list[str]:
    """A row of the table."""
    progress = rig.Progress(broker.pid, step=min(options.cycles, 500 * in_flight), rounds=options.rounds)
    responder = await Responder.connected(broker.port)
    caller = await Caller.connected(broker.port)
    async with asyncio.timeout(STALLED_S):
        await responder.serve(window=2 * in_flight)
        await caller.ask(progress, in_flight=in_flight, window=2 * in_flight)
    caller.close()
    responder.close()
    per_s, broker_s = progress.medians()
    return [name or str(in_flight), f"{per_s:,.0f}", f"{broker_s * 1e6:.0f}", f"{1 / broker_s:,.0f}"]


async def hold(broker: rig.BrokerProcess, connections: int, messages: int) -> list[list[str]]:
    rows = [["held", "s", "broker MB", "kB each"], ["nothing", "", f"{rig.resident_mb(broker.pid):.0f}", ""]]

    def add(what: str, number: int, since: float, mb_before: float) -> None:
        mb = rig.resident_mb(broker.pid)
        each_kb = (mb - mb_before) * 1024 / number
        rows.append([f"{number:,} {what}", f"{time.perf_counter() - since:.1f}", f"{mb:.0f}", f"{each_kb:.1f}"])

    started, mb_before = time.perf_counter(), rig.resident_mb(broker.pid)
    ends = [await End.connected(broker.port) for _ in range(connections)]
    for end in ends:
        end.session.grant_credit(await end.attach("idle", role=RECEIVER), 1)
        end.flush()
    add("connections", connections, started, mb_before)
    started, mb_before = time.perf_counter(), rig.resident_mb(broker.pid)
    filler = await Filler.connected(broker.port)
    await filler.fill("held", messages)
    add("messages", messages, started, mb_before)
    if any(end.is_lost for end in ends):
        raise SystemExit(f"Of {connections} connections {sum(end.is_lost for end in ends)} were lost meanwhile.")
    return rows


async def main(options: argparse.Namespace) -> None:
    cores = rig.Cores.split()
    rig.pin(cores.measured)
    rig.say(cores.told(measured="the client"))
    async with rig.broker("flow-requests", "flow-replies:session", core=cores.broker) as broker:
        rig.say_table(HEAD, *[await cycles(broker, in_flight, options) for in_flight in options.in_flight])
    if options.hold:
        queues = ("flow-requests", "flow-replies:session", "held", "idle")
        async with rig.broker(*queues, core=cores.broker) as broker:
            rig.say_table(*await hold(broker, options.connections, options.messages))
            rig.say_table(HEAD, await cycles(broker, 20, options, "20, all held"))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=4000, help="in a round, at most 500 for each in flight")
    parser.add_argument("--hold", action="store_true", help="measure what is held, too")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=100_000)
    return parser.parse_args()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10_000) if hard > 0 else 10_000, hard))  # the broker's, too
    uvloop.run(main(options()))
