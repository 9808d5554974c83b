"""Five flows at once (healthy, slow, throttling, dying and returning, hanging) behind one worker and one queue.

First the healthy flow alone, then all five; the worker is a process with its defaults but for the circuits' open time.
Broker, flows and callers run in this process. Prints what callers, queue and flows saw, and ends with 1 where the
healthy flow's p99 in the storm is twice its calm one or more, or a law was broken.

  answered … expired   what callers were told
  p50, p99             ms from asking to the answer
  calls                that reached the flow; `twice`: requests whose flow may have run and was called again
  peak                 calls at once
  dead                 one-way requests in the dead-letter queue; `queued`: those that wait for another try
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig
from support.storm import HEALTHY, NAMES, REQUESTS, Seen, StormFlows, Weather, calm, dead, queued, storm, storm_flows

from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker

OUTCOMES: Final = ("answered", "refused", "unavailable", "indeterminate", "expired", "no reply")
HEAD: Final = ("flow", "asked", "one-way", *OUTCOMES, "p50", "p99", "calls", "twice", "peak", "dead", "queued")
TOPOLOGY: Final = Topology(
    queues=(
        QueueProperties(name=REQUESTS, dead_letters_on_expiry=True, duplicate_window_s=600.0),
        QueueProperties(name="flow-replies", requires_session=True, duplicate_window_s=600.0),
    )
)


def row(name: str, seen: Seen, broker: EmbeddedBroker) -> list[str]:
    counts = [seen.outcomes[outcome] for outcome in OUTCOMES]
    times = [f"{rig.quantile(seen.elapsed_ms, share):.0f}" for share in (0.5, 0.99)] if seen.elapsed_ms else ["-", "-"]
    lost = sum(count for (flow, _), count in dead(broker).items() if flow == name)
    facts = [seen.calls.total(), called_twice(name, seen), seen.peak, lost, queued(broker)[name]]
    return [name, str(seen.asked), str(seen.one_way), *(f"{count}" for count in counts), *times, *map(str, facts)]


def called_twice(name: str, seen: Seen) -> int:
    """Only the throttling and the dying flow refuse calls, so only there may a second one be made."""
    extra = seen.calls.total() - len(seen.calls)
    return max(0, extra - seen.refusals)


async def main(options: argparse.Namespace) -> int:
    weather = Weather(seconds=options.seconds)
    async with EmbeddedBroker(TOPOLOGY, keeps_history=False) as broker, storm_flows(weather) as flows:
        environment = {
            "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": broker.connection_string,
            "FLOWBRIDGE_FLOWS": json.dumps(flows.settings()),
            "FLOWBRIDGE_HTTP__PORT": "0",
        }
        async with rig.flowbridge("run", core=None, environment=environment):
            await broker.facts.until(lambda facts: facts.connections >= 8, timeout_s=20)
            before = await calm(broker, flows)
            flows.seen[HEALTHY] = Seen()
            await storm(broker, flows)
            rig.say_table(HEAD, row("calm", before, broker), *(row(name, flows.seen[name], broker) for name in NAMES))
            for (name, reason), count in sorted(dead(broker).items()):
                rig.say(f"{count} one-way requests of the {name} flow were dead-lettered: {reason}")
        return verdict(before, flows)


def verdict(before: Seen, flows: StormFlows) -> int:
    calm_ms, storm_ms = (rig.quantile(seen.elapsed_ms, 0.99) for seen in (before, flows.seen[HEALTHY]))
    rig.say(f"The healthy flow's p99 in the storm is {storm_ms / calm_ms:.2f} times its calm one.")
    unanswered = sum(seen.outcomes["no reply"] + seen.outcomes["foreign"] for seen in flows.seen.values())
    twice = sum(called_twice(name, seen) for name, seen in flows.seen.items())
    return int(storm_ms >= 2 * calm_ms or unanswered > 0 or twice > 0)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of calm, then of storm (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(options())))
