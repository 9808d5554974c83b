"""One of the worker's processes, and the next one where it ends."""

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson
import structlog

import worker
from worker.core.restarts import Restarts
from worker.stop import Stop
from worker.supervisor.brief import Brief
from worker.supervisor.documents import ProcessFacts
from worker.supervisor.line import Kind, Steered, kind_of

CLOSING_S: Final = 15.0  # for links, after `drain_s`
MOST_TOLD_BYTES: Final = 16 * 2**20
_REFUSED: Final = 2  # the exit status for bad settings or arguments
# A signal before Python could hear of it ends a process that had nothing in hand yet.
_CLEAN: Final = frozenset({0, -signal.SIGTERM, -signal.SIGINT})

_log = structlog.stdlib.get_logger(__name__)


class Seat:
    """Always taken, until `stop`."""

    def __init__(self, brief: Brief, stop: Stop) -> None:
        self._brief = brief
        self._stop = stop
        self._restarts = Restarts()
        self._starts = 0
        self._process: Process | None = None
        self._told: dict[Kind, bytes] = {}
        self._told_at = 0.0
        self._line: asyncio.StreamWriter | None = None  # once the child has said something
        self._isolated: set[str] = set()
        self._next_start_at: float | None = None

    @property
    def facts(self) -> ProcessFacts:
        now, is_running, status = _now(), self._process is not None, self._told.get(Kind.STATUS)
        return ProcessFacts(
            process=self._brief.process,
            pid=None if self._process is None else self._process.pid,
            restarts=max(0, self._starts - 1),
            starts_in_s=None if self._next_start_at is None else max(0.0, self._next_start_at - now),
            silent_s=now - self._told_at if is_running else None,
            status=None if status is None else orjson.loads(status),
            recent=self._told.get(Kind.RECENT),
            metrics=self._told.get(Kind.METRICS),
        )

    def steer(self, flow: str, *, is_isolated: bool) -> None:
        """Also of each process that will sit here."""
        (self._isolated.add if is_isolated else self._isolated.discard)(flow)
        if self._line is not None and not self._line.is_closing():
            self._line.write(Steered(flow=flow, is_isolated=is_isolated).to_line())

    async def run(self) -> bool:
        """Until `stop` and the end of what sat here; whether that ended cleanly."""
        while True:
            status = await self._live()
            if self._stop.requested.is_set():
                _log.info("process_ended", process=self._brief.process, status=status)
                return status in _CLEAN
            await self._pause(status)
            if self._stop.requested.is_set():
                return True

    async def _live(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None where it could not be started."""
        self._starts += 1
        self._told_at = _now()
        self._restarts.begun(self._told_at)
        try:
            process, ours = await _started()
        except OSError as failed:
            _log.error("process_not_started", process=self._brief.process, failure=failed.strerror)
            return None
        _log.info("process_started", process=self._brief.process, pid=process.pid)
        self._process = process
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(self._speak(ours)), tasks.create_task(self._pass_on_stop(process))]
                status = await process.wait()
                for task in beside:
                    task.cancel()
        finally:
            self._process, self._line = None, None
            self._told.clear()
        return status

    async def _speak(self, ours: socket.socket) -> None:
        """Until the child's end, which is told by its status."""
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_TOLD_BYTES)
        try:
            writer.write(self._brief.to_bytes())
            async for line in reader:
                if line.endswith(b"\n"):
                    self._hear(line, writer)
        except (ConnectionError, ValueError):  # ValueError: a line beyond `MOST_TOLD_BYTES`
            pass
        finally:
            writer.close()

    def _hear(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        kind, document = kind_of(line)
        self._told[kind], self._told_at = document, _now()
        if self._line is None:
            self._line = writer
            for flow in sorted(self._isolated):
                self.steer(flow, is_isolated=True)

    async def _pass_on_stop(self, process: Process) -> None:
        """As signals of two kinds: of one kind, the second could be merged with the first."""
        await self._stop.requested.wait()
        over_at = _now() + self._brief.settings.worker.drain_s + CLOSING_S
        _send(process, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(over_at):
                await self._stop.hurried.wait()
            _send(process, signal.SIGINT)
        await asyncio.sleep(over_at - _now())
        _log.error("process_killed", process=self._brief.process, pid=process.pid)
        _send(process, signal.SIGKILL)

    async def _pause(self, status: int | None) -> None:
        is_hopeless = status == _REFUSED
        pause_s = self._restarts.pause_s(_now(), is_hopeless=is_hopeless, draw=random.random())  # noqa: S311 - jitter
        _log.warning("process_ended", process=self._brief.process, status=status, next_start_s=round(pause_s, 2))
        if is_hopeless:
            failure = "it refused what it was started with, and so will the next one: restart the worker"
            _log.error("process_refused", process=self._brief.process, failure=failure)
        self._next_start_at = _now() + pause_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_start_at):
                await self._stop.requested.wait()
        self._next_start_at = None


async def _started() -> tuple[Process, socket.socket]:
    """A child, out of reach of what a terminal signals, and our end of the line to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(*_command(), stdin=theirs.fileno(), start_new_session=True)
        except OSError:
            ours.close()
            raise
    return process, ours


def _command() -> list[str]:
    """From where this process has the package, also where the working directory has one of the same name."""
    is_from_path = sys.path[0] != str(Path(worker.__file__).parents[1])
    return [sys.executable, *(["-P"] if is_from_path else []), "-m", "worker", "process"]


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended a moment ago
            os.kill(process.pid, number)  # asyncio's own way may reap it first, and lose its status


def _now() -> float:
    return asyncio.get_running_loop().time()
