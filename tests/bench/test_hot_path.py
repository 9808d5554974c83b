"""A hot path that got longer is noticed by the functions called for a request: they are the same on any machine."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli.bench.job import Job
from worker.cli.bench.load import ClosedLoop
from worker.cli.bench.measuring import ENTITIES
from worker.cli.bench.processes import broker, program
from worker.cli.bench.subjects import Subject, subject
from worker.cli.bench.web_flow import web_flow

IN_FLIGHT = 16
MOST_TIMES_THE_FLOOR = 2.1  # 1.82 to 1.95 when this was written, by how replies come together in batches

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the count is begun and ended by signals")


async def calls_for_a_request(name: str, entities: Path) -> float:
    chosen = subject(name, None)
    assert isinstance(chosen, Subject)
    module, *arguments = chosen.command[chosen.command.index("-m") + 1 :]
    async with broker(core=None, config=entities) as bus, web_flow() as url:
        job = Job(connection_string=bus.connection_string, url=url, in_flight=IN_FLIGHT)
        counted = (sys.executable, str(Path(__file__).with_name("counted.py")), module, *arguments)
        at_work = program(*counted, core=None, environment=chosen.environment(job), stdout=subprocess.PIPE)
        async with at_work as process:
            turns = iter((signal.SIGUSR1, signal.SIGUSR2))

            def turn() -> float:
                process.send_signal(next(turns))
                return 0.0

            load = await ClosedLoop.connected(bus.port)
            await load.open(sessions=4, window=2 * IN_FLIGHT, outcome=chosen.outcome)
            window = await load.run(in_flight=IN_FLIGHT, warm_up=100, count=300, cpu_s=turn)
            load.close()
            assert process.stdout is not None
            called = int(await process.stdout.readline())
            process.kill()
    return called / len(window.latencies_ms)


@pytest.mark.timeout(120)
async def test_the_worker_calls_few_more_functions_than_the_least_code_that_does_its_job(tmp_path: Path) -> None:
    entities = tmp_path / "entities.toml"
    entities.write_text(ENTITIES, encoding="utf-8")
    floor, worker = await asyncio.gather(*(calls_for_a_request(name, entities) for name in ("floor", "worker")))
    sys.stdout.write(f"functions called for a request: floor {floor:.0f}, worker {worker:.0f}, {worker / floor:.2f}\n")
    assert 300 < floor < worker, "both were counted"
    assert worker / floor < MOST_TIMES_THE_FLOOR
