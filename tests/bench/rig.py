"""What the measurements beside this share: cores, processes and their CPU clocks, rounds, tables. Linux only.

Cores: the broker has the first, the other process of interest the second, everything else the third; of only two,
it shares the broker's. Without `os.sched_setaffinity`, or with one core, nothing is pinned.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    broker: int | None = None
    measured: int | None = None
    rest: int | None = None

    @classmethod
    def split(cls) -> "Cores":
        available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(available) < 2:
            return cls()
        return cls(broker=available[0], measured=available[1], rest=available[2 % len(available)])

    def told(self, measured: str, rest: str = "") -> str:
        """In words: who is who."""
        if self.broker is None:
            return "Nothing is pinned to a core."
        others = f", {rest} on {self.rest}" if rest else ""
        return f"Pinned: the broker on core {self.broker}, {measured} on {self.measured}{others}."


def pin(core: int | None, pid: int = 0) -> None:
    """This process and what it starts from now on, or `pid`."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


def cpu_s(pid: int) -> float:
    """What the process has used. The clock's number is clock_getcpuclockid(3)'s, which Python doesn't have."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def flowbridge(
    *arguments: str, core: int | None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in a process of its own, with no settings but `environment`; told to stop at the end of the block."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWBRIDGE_", "AZURE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *arguments),
        env={**inherited, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    pin(core, process.pid)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProcess:
    pid: int
    connection_string: str

    @property
    def port(self) -> int:
        return urlsplit(self.connection_string.partition("=")[2].partition(";")[0]).port or 0


@asynccontextmanager
async def broker(*queues: str, core: int | None, config: Path | None = None) -> AsyncIterator[BrokerProcess]:
    """`flowbridge emulator` with queues as its --queue takes them, and those of a file."""
    options = [text for queue in queues for text in ("--queue", queue)]
    options += [] if config is None else ["--config", str(config)]
    async with flowbridge("emulator", "--port", "0", *options, core=core) as process:
        if process.stdout is None or not (line := (await process.stdout.readline()).decode().strip()):
            raise SystemExit("The broker did not start. `python -m worker emulator --port 0` says why.")
        yield BrokerProcess(pid=process.pid, connection_string=line)


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


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_table(*rows: Sequence[str]) -> None:
    """The first row is the head, the first column text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        say("  ".join((row[0].ljust(widths[0]), *cells)))
