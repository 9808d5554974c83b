"""Worker processes in their seats: started, killed, told to stop, frozen; and what they say."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from chaos.records import Life, Line

LAUNCHER: Final = Path(__file__).with_name("planted.py")


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One process. `is_serving`: it has received a request. `is_going`: it was killed, or told to stop."""

    life: Life
    seat: "Seat"
    process: asyncio.subprocess.Process
    is_serving: bool = False
    is_going: bool = False
    is_frozen: bool = False

    @property
    def name(self) -> str:
        return self.life.by

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    @property
    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self) -> None:
        self.is_going = True
        self._signal(signal.SIGKILL)

    def tell_to_stop(self) -> None:
        self.is_going = True
        if self.life.told_to_stop_at is None:
            self.life.told_to_stop_at = time.time()
        else:
            self.life.hurried_at = self.life.hurried_at or time.time()
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        self.is_frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.is_frozen = False
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(self.process.pid, number)


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """Always taken: where a worker is going, the next one is started. `survives`: nobody kills who sits here."""

    name: str
    survives: bool
    generation: int = 0
    worker: Worker | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Fleet:
    """`environment_of`: a worker's, by its name. `planted`: a bug that all are started with."""

    seats: list[Seat]
    environment_of: Callable[[str], Mapping[str, str]] = lambda _: {}
    planted: str | None = None
    lives: list[Life] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _is_over: bool = False

    @property
    def workers(self) -> dict[str, Worker]:
        return {seat.worker.name: seat.worker for seat in self.seats if seat.worker is not None}

    async def start(self) -> None:
        for seat in self.seats:
            await self._take(seat)

    async def end(self) -> None:
        self._is_over = True
        for worker in self.workers.values():
            worker.kill()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def forget(self) -> None:
        self.lines.clear()
        self.lives = [life for life in self.lives if life.ended_at is None]

    async def _take(self, seat: Seat) -> None:
        seat.generation += 1
        name = f"{seat.name}.{seat.generation}"
        command = ["-m", "worker", "run"] if self.planted is None else [str(LAUNCHER), self.planted, "--", "run"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=dict(self.environment_of(name)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        life = Life(by=name, began_at=time.time())
        self.lives.append(life)
        seat.worker = Worker(life=life, seat=seat, process=process)
        task = asyncio.create_task(self._follow(seat.worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, worker: Worker) -> None:
        """What it says until it has ended; then the seat is taken again."""
        assert worker.process.stderr is not None
        async for raw in worker.process.stderr:
            self.lines.append(_line(worker.name, raw))
        worker.life.status = await worker.process.wait()
        worker.life.ended_at = time.time()
        if not self._is_over and worker.seat.worker is worker:
            await self._take(worker.seat)


def _line(by: str, raw: bytes) -> Line:
    """What isn't JSON was not said by the worker's own log."""
    try:
        said: dict[str, Any] = json.loads(raw)
        at = datetime.fromisoformat(str(said["timestamp"])).timestamp()
        return Line(at=at, by=by, event=str(said["event"]), level=str(said["level"]), said=said)
    except (ValueError, KeyError, TypeError):
        return Line(at=time.time(), by=by, event=raw.decode(errors="replace").rstrip(), level="unreadable")
