"""Cores, and what a process uses of them.

The broker has the first core, the measured process the second, everything else the third; of only two, it shares the
broker's. Without `os.sched_setaffinity`, or with one core, nothing is pinned.
"""

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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


def pin(core: int | None) -> None:
    """To this core goes the process, and what it starts from now on."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """What is started in the block is on that core from its first thread on."""
    before = None if core is None else os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """What the process has used, all its threads; NaN where that isn't told (Linux tells).

    The clock's number is clock_getcpuclockid(3)'s, which Python doesn't have.
    """
    return time.clock_gettime(~pid << 3 | 2) if sys.platform == "linux" else math.nan


def peak_mb(pid: int) -> float:
    """The most memory it has held so far; NaN where that isn't told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return math.nan
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "nan")
    return float(kilobytes) / 1024
