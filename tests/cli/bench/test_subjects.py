import json
import shutil
from pathlib import Path

import pytest

from worker.cli.bench import subjects
from worker.cli.bench.job import Job
from worker.cli.bench.subjects import NAMES, Missing, Subject, subject
from worker.settings import load

JOB = Job(
    connection_string="Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
    url="http://127.0.0.1:9/flow",
    in_flight=300,
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules" / "@azure" / "service-bus"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": "7.9.5"}))
    return folder


@pytest.fixture
def has_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/node")
    monkeypatch.delenv("NODE_PATH", raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)


def test_a_job_is_told_through_the_environment() -> None:
    assert Job.told(JOB.environment()) == JOB


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"worker", "node"}])
def test_every_subject_is_a_program_of_its_own(name: str) -> None:
    found = subject(name, None)
    assert isinstance(found, Subject)
    assert found.command[1:] == ("-m", f"worker.cli.bench.{name}")
    assert Path(subjects.__file__).with_name(f"{name}.py").is_file()


def test_the_worker_has_its_defaults_and_room_for_all_that_is_in_flight() -> None:
    found = subject("worker", None)
    assert isinstance(found, Subject)
    settings = load(None, found.environment(JOB))
    assert (settings.worker.concurrency, settings.flows[0].concurrency) == (300, 300)
    assert settings.flows[0].url is not None


@pytest.mark.usefixtures("has_node")
def test_the_javascript_sdk_is_found_where_node_would_and_where_it_is_said_to_be(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = package.parents[1]
    by_option = [subject("node", folder), subject("node", tmp_path)]
    monkeypatch.setenv("NODE_PATH", str(folder))
    by_variable = subject("node", None)
    monkeypatch.delenv("NODE_PATH")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    by_place = subject("node", None)
    for found in (*by_option, by_variable, by_place):
        assert isinstance(found, Subject)
        assert found.sdk == "@azure/service-bus 7.9.5"
        assert Path(found.command[1]).is_file()
        assert found.command[2] == str(package)


@pytest.mark.usefixtures("has_node")
def test_why_node_is_not_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sdk = subject("node", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert without_sdk == Missing(
        name="node", why="@azure/service-bus is not installed here; --node-modules names a folder"
    )
    assert subject("node", None) == Missing(name="node", why="there is no node on PATH")
