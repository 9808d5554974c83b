"""The command as somebody starts it. How fast anything is, is no test's business."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from worker.cli.bench.cores import Cores
from worker.cli.bench.measuring import ENTITIES, Measuring
from worker.cli.bench.subjects import Subject
from worker.cli.failure import tell

BENCH = (sys.executable, "-m", "worker", "bench")


async def started(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(*BENCH, *arguments, stdout=PIPE, stderr=PIPE)


async def test_floor_and_worker_are_measured_side_by_side(tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    process = await started(
        *("--json", "--count", "60", "--rounds", "1", "--subjects", "floor,worker", "--rates", "200"),
        *("--svg", str(picture), "--round-trip", "4"),
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    told = json.loads(out)
    for name in ("floor", "worker"):
        assert told[name]["measured"] == 60
        assert min(told[name].values()) > 0
        assert {rate: row["measured"] for rate, row in told["calm"][name].items()} == {"200": 60}
        assert told["calm"][name]["200"]["p50_ms"] > 4.0, (
            "a request comes half a round trip late, and so does its reply"
        )
    assert set(told["ratios"]) == {"worker_to_floor"}
    assert told["machine"]["sdks"]["floor"].startswith("azure-servicebus 7.")
    assert picture.read_text().startswith("<svg")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
async def test_ctrl_c_ends_it_with_every_process_that_it_started() -> None:
    process = await started("--subjects", "plain")
    children: list[Path] = []
    while len(children) < 2:
        await asyncio.sleep(0.02)
        children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert [child for child in children if child.exists()] == []


def children_of(pid: int) -> list[Path]:
    return [Path("/proc", each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_subject_that_dies_is_named_with_its_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entities = tmp_path / "entities.toml"
    entities.write_text(ENTITIES)
    measuring = Measuring(
        cores=Cores(), entities=entities, in_flight=1, sessions=1, count=10, flow_delay_s=0.0, round_trip_s=0.0
    )
    says = "import sys; print('first', 'SharedAccessKey=TOPSECRET', sep='\\n', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ExceptionGroup) as caught:
        await measuring.a_round(Subject(name="plain", command=(sys.executable, "-c", says), sdk=""))
    assert tell(caught.value) == 1
    assert capsys.readouterr().err == (
        "flowbridge: The benchmark ended at 'plain': its process ended with exit status 3. Its last lines:\n"
        "  first\n  SharedAccessKey=***\n"
    )
