"""Schedules on all cores for as long as they are told to: `python tests/bridge/simulate.py --seconds 60 --seed 1`.

Every second batch is of a queue with sessions. Prints how many ran of each kind, how often each kind of happening came
up, and what the worker's log said. A law that doesn't hold ends it with 1 and the transcript of the smallest schedule
that breaks it.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Final

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from bridge.schedule import Schedule, run, schedules
from bridge.transcript import LawBrokenError, Saw

KINDS: Final = ("without sessions", "with sessions")
_AT_ONCE: Final = 1000  # schedules under one seed: Hypothesis gets slow where it remembers many


@dataclass(slots=True, kw_only=True)
class Covered:
    """`schedules` and `cpu_s` by kind."""

    schedules: Counter[str] = field(default_factory=Counter)
    cpu_s: dict[str, float] = field(default_factory=dict)
    saw: Counter[Saw] = field(default_factory=Counter)
    virtual_s: float = 0.0
    logged: Counter[str] = field(default_factory=Counter)
    broken: str | None = None

    def add(self, other: "Covered") -> None:
        self.schedules += other.schedules
        self.cpu_s = {kind: self.cpu_s.get(kind, 0.0) + other.cpu_s.get(kind, 0.0) for kind in KINDS}
        self.saw += other.saw
        self.virtual_s += other.virtual_s
        self.logged += other.logged
        self.broken = self.broken or other.broken


def batch(number: int, *, is_ordered: bool, most: int, until: float) -> Covered:
    """`most` schedules under one seed, or what can be done of them."""
    covered, began_s = Covered(), time.process_time()
    kind = KINDS[is_ordered]

    @seed(number)
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(schedules)
    def simulate(schedule: Schedule) -> None:
        if time.monotonic() > until and covered.broken is None:
            return
        covered.schedules[kind] += 1
        try:
            simulation = run(schedule, is_ordered=is_ordered)
        except LawBrokenError as broken:
            covered.broken = str(broken)
            raise
        covered.saw += simulation.counts()
        covered.virtual_s += simulation.elapsed_s

    with structlog.testing.capture_logs() as logged:
        try:
            simulate()
        except LawBrokenError as broken:  # the smallest
            covered.broken = str(broken)
    covered.logged = Counter(str(entry["event"]) for entry in logged)
    covered.cpu_s[kind] = time.process_time() - began_s
    return covered


def process(results: "Queue[Covered]", first: int, step: int, until: float) -> None:
    number, is_ordered = first, False
    while time.monotonic() < until:
        covered = batch(number, is_ordered=is_ordered, most=_AT_ONCE, until=until)
        results.put(covered)
        if covered.broken is not None:
            break
        number, is_ordered = number + step, not is_ordered
    results.put(Covered())


def campaign(*, seconds: float, first: int, processes: int) -> Covered:
    """Ends early when a law is broken."""
    context = multiprocessing.get_context("fork")
    results: Queue[Covered] = context.Queue()
    until = time.monotonic() + seconds
    workers = [
        context.Process(target=process, args=(results, first + nth, processes, until)) for nth in range(processes)
    ]
    for worker in workers:
        worker.start()
    total, at_work = Covered(), processes
    while at_work and total.broken is None:
        covered = results.get()
        at_work -= not covered.cpu_s
        total.add(covered)
    for worker in workers:
        worker.terminate()
        worker.join()
    return total


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="the same seeds draw the same schedules")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started = time.monotonic()
    total = campaign(seconds=options.seconds, first=options.seed * 1_000_000, processes=options.processes)
    took_s = time.monotonic() - started
    ran = total.schedules.total()
    say(
        f"{ran:,} schedules in {took_s:.0f} s: {ran / took_s * 60:,.0f} a minute; "
        f"{total.virtual_s / 86_400:,.1f} days of virtual time"
    )
    for kind, times in total.schedules.items():
        say(f"{times:>10,}  {kind}: {times / total.cpu_s[kind] * 60:,.0f} a core-minute")
    for saw, times in total.saw.most_common():
        say(f"{times:>10,}  {saw.name.lower().replace('_', ' ')}")
    for event, times in total.logged.most_common():
        say(f"{times:>10,}  log: {event}")
    if total.broken is not None:
        say(f"\n{total.broken}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
