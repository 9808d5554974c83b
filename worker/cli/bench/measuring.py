"""One subject at work: broker, flow and load around it, all of it started anew each time."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from worker.cli.bench.cores import Cores, cpu_s, peak_mb
from worker.cli.bench.figures import Calm, FullLoad, calm_of, full_load_of
from worker.cli.bench.job import Job
from worker.cli.bench.load import ClosedLoop, Paced, Stalled, Window, WrongReply
from worker.cli.bench.processes import BrokerProcess, broker, program
from worker.cli.bench.relay import relay
from worker.cli.bench.subjects import Subject
from worker.cli.bench.web_flow import web_flow
from worker.cli.failure import CommandFailed

# A caller never renews its session's lock, so that has to outlast any round.
ENTITIES: Final = """
[[queues]]
name = "flow-requests"
[[queues]]
name = "flow-replies"
requires_session = true
duplicate_window_s = 600
lock_s = 300
"""
CALM_S: Final = 4.0  # at each rate, or as long as a round's count of requests takes
CALM_WARM_UP_S: Final = 0.5  # at each rate, before
PACED_WINDOW: Final = 1000
LAST_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """What is the same for every subject.

    `entities`: a file of `ENTITIES`; `flow_delay_s`: before the flow answers; `round_trip_s`: to the broker and back.
    """

    cores: Cores
    entities: Path
    in_flight: int
    sessions: int
    count: int
    flow_delay_s: float
    round_trip_s: float

    async def a_round(self, subject: Subject, rates: Sequence[float] = ()) -> tuple[FullLoad, list[Calm]]:
        """At full load, then at one rate after the other. Raises CommandFailed, in a group."""
        async with self._at_work(subject) as (port, pid):
            window = await self._loaded(subject, port, pid)
            peak = peak_mb(pid)
            calm = [calm_of(rate, await self._paced(subject, port, rate)) for rate in rates]
        full_load = full_load_of(
            took_s=window.took_s, cpu_s=window.cpu_s, latencies_ms=window.latencies_ms, peak_mb=peak
        )
        return full_load, calm

    async def _loaded(self, subject: Subject, port: int, pid: int) -> Window:
        load = await ClosedLoop.connected(port)
        try:
            sessions = min(self.sessions, self.in_flight)
            await load.open(sessions=sessions, window=2 * self.in_flight, outcome=subject.outcome)
            return await load.run(
                in_flight=self.in_flight,
                warm_up=max(self.in_flight, self.count // 10),  # the first ones waited for the subject to start
                count=self.count,
                cpu_s=partial(cpu_s, pid),
            )
        finally:
            load.close()

    async def _paced(self, subject: Subject, port: int, rate: float) -> tuple[float, ...]:
        load = await Paced.connected(port)
        try:
            await load.open(sessions=1, window=PACED_WINDOW, outcome=subject.outcome)
            count = max(1, min(self.count, round(CALM_S * rate)))
            return await load.run(per_s=rate, skipped=round(CALM_WARM_UP_S * rate), count=count)
        finally:
            load.close()

    @asynccontextmanager
    async def _at_work(self, subject: Subject) -> AsyncIterator[tuple[int, int]]:
        """The broker's port and the subject's process id."""
        with tempfile.TemporaryFile() as words:
            async with (
                broker(core=self.cores.broker, config=self.entities) as bus,
                self._way_to(bus) as connection_string,
                web_flow(self.flow_delay_s) as url,
            ):
                job = Job(connection_string=connection_string, url=url, in_flight=self.in_flight)
                subject_at_work = program(
                    *subject.command,
                    core=self.cores.measured,
                    environment=subject.environment(job),
                    stderr=words,
                    patience_s=0.0,
                )
                async with subject_at_work as process, asyncio.TaskGroup() as attending:
                    attendant = attending.create_task(_attend(subject, process, words))
                    try:
                        yield bus.port, process.pid
                    except (Stalled, WrongReply, ConnectionError) as failed:
                        raise CommandFailed(_ended(subject, str(failed), words)) from None
                    attendant.cancel()

    @asynccontextmanager
    async def _way_to(self, bus: BrokerProcess) -> AsyncIterator[str]:
        """The subject's connection string."""
        if self.round_trip_s == 0:
            yield bus.connection_string
            return
        async with relay(bus.port, round_trip_s=self.round_trip_s) as port:
            yield bus.connection_string.replace(f":{bus.port}", f":{port}")


async def _attend(subject: Subject, process: asyncio.subprocess.Process, words: IO[bytes]) -> None:
    status = await process.wait()
    raise CommandFailed(_ended(subject, f"its process ended with exit status {status}", words))


def _ended(subject: Subject, why: str, words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").splitlines()[-LAST_LINES:]
    said = "".join(f"\n  {line}" for line in lines)
    return f"The benchmark ended at '{subject.name}': {why}. " + (
        f"Its last lines:{said}" if said else "It said nothing."
    )
