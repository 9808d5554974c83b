"""What the measurements beside this share: rounds, tables, and cores and processes as `flowbridge bench` has them.

Linux only.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

from worker.cli.bench.cores import Cores, cpu_s, pin
from worker.cli.bench.figures import quantile
from worker.cli.bench.processes import BrokerProcess, broker, program

__all__ = [
    "BrokerProcess",
    "Cores",
    "Progress",
    "broker",
    "cpu_s",
    "flowbridge",
    "pin",
    "quantile",
    "resident_mb",
    "say",
    "say_table",
]


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def flowbridge(
    *arguments: str, core: int | None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in a process of its own, with no settings but `environment`; told to stop at the end of the block."""
    command = (sys.executable, "-m", "worker", *arguments)
    async with program(*command, core=core, environment=environment, stdout=subprocess.PIPE) as process:
        yield process


class Progress:
    """Counts what gets done and reads the clocks at every `step`-th: so a round lies inside steady work.

    `pids`: the processes whose CPU is of interest. The first of `rounds` + 1 steps is to warm up.
    """

    def __init__(self, *pids: int, step: int, rounds: int) -> None:
        self.done = 0
        self.whole = step * (rounds + 1)
        self._pids = pids
        self._step = step
        self._marks: list[tuple[float, ...]] = []
        self._goals: dict[int, asyncio.Event] = {}

    def count(self) -> None:
        self.done += 1
        if self.done % self._step == 0 and self.done <= self.whole:
            self._marks.append((time.perf_counter(), *map(cpu_s, self._pids)))
        if self.done in self._goals:
            self._goals[self.done].set()

    async def until(self, done: int) -> None:
        if self.done < done:
            await self._goals.setdefault(done, asyncio.Event()).wait()

    def medians(self) -> tuple[float, ...]:
        """Over the rounds: how many were done a second, then each process's CPU seconds for one of them."""
        rounds = [
            (
                self._step / (after[0] - before[0]),
                *((b - a) / self._step for a, b in zip(before[1:], after[1:], strict=True)),
            )
            for before, after in pairwise(self._marks)
        ]
        return tuple(map(statistics.median, zip(*rounds, strict=True)))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_table(*rows: Sequence[str]) -> None:
    """The first row is the head, the first column text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        say("  ".join((row[0].ljust(widths[0]), *cells)))
