"""The chaos campaign: real worker processes on the embedded broker, with harm done at every await, seeded.

After each round nothing stands in the way any more, everything must come to its end, and every law is checked against
what broker, flows, callers and logs saw. Ends with 0 without a violation, else with 1 and the story of each request.

  python tests/chaos/campaign.py                      about eight minutes
  python tests/chaos/campaign.py --seconds 60 --seed 7
  python tests/chaos/campaign.py --plant NAME         workers with a bug, which must be caught
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.rig import quantile, say, say_table
from chaos.callers import NAME, Callers, open_callers
from chaos.checker import check
from chaos.figures import Figures
from chaos.flows import CALLER_S
from chaos.plan import SOON, WEATHERS, Plan, Weather, draw
from chaos.records import Replied, Requested, Violation
from chaos.rounds import Played, clear, play
from chaos.stage import Stage, open_stage
from chaos.story import story_of
from chaos.traces import traces_of

LOAD_S: Final = 30.0
SOON_S: Final = 8.0  # of a round that is to catch a planted bug
DRAIN_SHARE: Final = 0.28  # of a round's time, for coming to its end
PER_S: Final = 64.0
# Of the default campaign, at least.
DEFAULT_S: Final = 480.0
KILLS: Final = 200
OTHER_FAULTS: Final = 500
REQUESTS: Final = 20_000
SESSIONS: Final = 6
STORIES: Final = 5
# Of a worker that nobody kills. Links that are lost are cyclic garbage, which is collected late.
MOST_GROWTH_MB: Final = 110.0
GROWTH_MB: Final = 20.0  # once it has seen every kind of round
LEAK: Final = "a worker has the connections that it needs, and not one more"
FLAT: Final = "a worker's memory is flat"
HEARD: Final = "an answer that is there in time reaches its caller"
DELIVERY_S: Final = 12.0  # to a caller who must first find its session again
FOREIGN: Final = "no caller gets somebody else's answer"


@dataclass(slots=True, kw_only=True)
class Campaign:
    """`seconds` None: the default campaign, which goes on until its figures are reached."""

    seed: int
    seconds: float | None = None
    workers: int = 3
    per_s: float = PER_S
    load_s: float = LOAD_S
    planted: str | None = None
    weathers: Sequence[Weather] = WEATHERS
    stops_at_first: bool = False
    is_told: bool = True
    figures: Figures = field(default_factory=Figures)
    violations: list[Violation] = field(default_factory=list)

    async def run(self) -> None:
        await self._play()
        grown = self._check_memory()
        self.violations += grown
        if self.is_told and grown:
            say(f"seed {self.seed}: {grown[0].law}\n  {grown[0].what}")

    async def _play(self) -> None:
        ends = time.monotonic() + (DEFAULT_S if self.seconds is None else self.seconds)
        async with (
            open_stage(workers=self.workers, planted=self.planted) as stage,
            open_callers(stage.connection_string(NAME), SESSIONS) as callers,
        ):
            await stage.until_ready(within_s=60.0)
            number = 0
            while (left_s := ends - time.monotonic()) > 0 or number == 0 or self._is_short_of_its_figures:
                load_s = self.load_s if self.seconds is None else min(self.load_s, max(5.0, left_s * (1 - DRAIN_SHARE)))
                weather = self.weathers[number % len(self.weathers)]
                plan = draw(self.seed, number, load_s=load_s, per_s=self.per_s, weather=weather)
                played = await play(stage, callers, plan)
                found = self._judge(stage, plan, played, callers)
                if played.record.left or (found and self.stops_at_first):  # what is left is no round of its own
                    return
                await clear(stage)
                number += 1

    @property
    def _is_short_of_its_figures(self) -> bool:
        figures = self.figures
        others = figures.harms.total() - figures.kills
        return self.seconds is None and (figures.kills < KILLS or others < OTHER_FAULTS or figures.requests < REQUESTS)

    def _judge(self, stage: Stage, plan: Plan, played: Played, callers: Callers) -> list[Violation]:
        figures = self.figures
        figures.add(played)
        found = check(played.record, figures.admitted)
        found += [Violation(law=LEAK, what=f"{by}: {count}") for by, count in played.not_ready.items()]
        found += [Violation(law=FOREIGN, what="its body was another's", request_id=each) for each in callers.foreign]
        found += _unheard(played, callers.unanswered)
        callers.foreign.clear()
        callers.unanswered.clear()
        self._measure(stage)
        self.violations += found
        if self.is_told:
            self._tell(plan, played, found)
        return found

    def _measure(self, stage: Stage) -> None:
        survivors = [seat.worker for seat in stage.fleet.seats if seat.survives and seat.worker is not None]
        self.figures.resident_mb.append(max((worker.resident_mb for worker in survivors), default=0.0))

    def _check_memory(self) -> list[Violation]:
        """Of the whole campaign: at its end alone."""
        resident = self.figures.resident_mb
        half = len(resident) // 2
        has_grown = half >= len(self.weathers) and max(resident[half:]) > max(resident[:half]) + GROWTH_MB
        if not has_grown and resident[-1] <= resident[0] + MOST_GROWTH_MB:
            return []
        grown = " → ".join(f"{each:.0f}" for each in resident)
        return [Violation(law=FLAT, what=f"MB after each round: {grown}")]

    def _tell(self, plan: Plan, played: Played, found: Sequence[Violation]) -> None:
        kills = sum(harm.kind == "kill" for harm in played.record.harms)
        say(
            f"round {plan.number} {plan.weather.name:11} {len(plan.asked):5} requests, {kills:3} kills, "
            f"{len(played.record.harms) - kills:3} other faults, all ended after {played.drained_s:4.1f} s; "
            f"{self.figures.resident_mb[-1]:.0f} MB; {len(found)} violations"
        )
        for law, count in Counter(violation.law for violation in found).items():
            say(f"  {count} times broken: {law}")
        traces = traces_of(played.record)
        for violation in found[:STORIES]:
            say(f"\n  seed {self.seed}, round {plan.number}: {violation.law}\n    {violation.what}")
            if violation.request_id in traces:
                for line in story_of(traces[violation.request_id], played.record):
                    say(f"    {line}")


def _unheard(played: Played, unanswered: Sequence[str]) -> list[Violation]:
    """Answers that were there in time, for callers who didn't get them."""
    asked_at = {event.request_id: event.at for event in played.record.events if isinstance(event, Requested)}
    in_time = {
        event.request_id: event.at - asked_at[event.request_id]
        for event in played.record.events
        if isinstance(event, Replied) and event.request_id in asked_at
    }
    return [
        Violation(law=HEARD, what=f"it was there after {in_time[each]:.1f} s", request_id=each)
        for each in unanswered
        if in_time.get(each, CALLER_S) < CALLER_S - DELIVERY_S
    ]


def tell(campaign: Campaign) -> None:
    figures = campaign.figures
    say("")
    say(f"{figures.requests} requests; answers: {_counts(figures.outcomes)}; dead letters: {_counts(figures.dead)}")
    say(f"{figures.kills} kills, {figures.harms.total() - figures.kills} other faults; at: {_counts(figures.triggers)}")
    say(f"{figures.calls.total()} calls: {_counts(figures.calls)}")
    say(f"admitted by the crash table: {_counts(figures.admitted.rows) or 'nothing'}")
    say(f"{figures.repeats} repeated answers were dropped; deliveries by their count: {_counts(figures.deliveries)}")
    if figures.drains_s:
        worst_s = max(figures.drains_s)
        say(f"{len(figures.drains_s)} drains, p50 {quantile(figures.drains_s, 0.5):.1f} s, longest {worst_s:.1f} s")
    first_mb, last_mb = figures.resident_mb[0], figures.resident_mb[-1]
    say(
        f"the worker that was never killed had {first_mb:.0f} MB after its first round, {last_mb:.0f} MB after its last"
    )
    say_table(("fault", "times", "back p50 s", "p99 s"), *figures.recovery_rows())
    say(f"{len(campaign.violations)} violations")


def _counts(counter: "dict[str, int] | dict[int, int]") -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items(), key=lambda item: -item[1]))


def as_json(campaign: Campaign) -> str:
    figures = campaign.figures
    return json.dumps(
        {
            "seed": campaign.seed,
            "requests": figures.requests,
            "outcomes": figures.outcomes,
            "dead_letters": figures.dead,
            "kills": figures.kills,
            "faults": figures.harms,
            "triggers": figures.triggers,
            "admitted": figures.admitted.rows,
            "repeats_dropped": figures.repeats,
            "most_deliveries": max(figures.deliveries, default=0) + 1,
            "resident_mb": [round(each, 1) for each in figures.resident_mb],
            "violations": [{"law": v.law, "what": v.what, "request_id": v.request_id} for v in campaign.violations],
        }
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, help="in all (default: about eight minutes, until its figures are reached)"
    )
    parser.add_argument("--seed", type=int, default=1, help="(default %(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="processes (default %(default)s)")
    parser.add_argument("--load", type=float, help="seconds of a round's load")
    parser.add_argument("--weather", choices=sorted({each.name for each in WEATHERS}), help="one kind of round only")
    parser.add_argument("--plant", metavar="BUG", help="start the workers with a bug of planted.py")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing else")
    return parser.parse_args()


async def main(asked: argparse.Namespace) -> int:
    campaign = Campaign(
        seed=asked.seed,
        seconds=asked.seconds,
        workers=asked.workers,
        load_s=asked.load or (SOON_S if asked.plant else LOAD_S),
        planted=asked.plant,
        stops_at_first=asked.plant is not None,
        weathers=[each for each in (SOON if asked.plant else WEATHERS) if asked.weather in {None, each.name}],
        is_told=not asked.json,
    )
    if not asked.json:
        say(f"seed {campaign.seed}, {campaign.workers} workers")
    await campaign.run()
    if asked.json:
        say(as_json(campaign))
    else:
        tell(campaign)
    return int(bool(campaign.violations))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
