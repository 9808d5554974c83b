"""What is measured, by name, and how each is started."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from worker.cli.bench.job import Job

NAMES: Final = ("floor", "worker", "plain", "documented", "node")
LEAST_CONCURRENCY: Final = 200  # of the worker, its own default
_PACKAGE: Final = Path("@azure", "service-bus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`sdk`: its name and version. `outcome`: what its replies say, where they say one."""

    name: str
    command: tuple[str, ...]
    sdk: str
    is_calm: bool = False  # also measured at steady rates
    outcome: str | None = None

    def environment(self, job: Job) -> Mapping[str, str]:
        return _worker_settings(job) if self.name == "worker" else job.environment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A subject that can't be run here, and why: a clause for a table."""

    name: str
    why: str


def subject(name: str, node_modules: Path | None) -> Subject | Missing:
    sdk = f"azure-servicebus {version('azure-servicebus')}"
    match name:
        case "worker":
            own = (sys.executable, "-m", "worker", "run")
            return Subject(name=name, command=own, sdk=sdk, is_calm=True, outcome="answered")
        case "node":
            return _node(node_modules)
        case _:
            command = (sys.executable, "-m", f"worker.cli.bench.{name}")
            return Subject(name=name, command=command, sdk=sdk, is_calm=name == "floor")


def _worker_settings(job: Job) -> dict[str, str]:
    concurrency = max(job.in_flight, LEAST_CONCURRENCY)
    return {
        "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": job.connection_string,
        "FLOWBRIDGE_FLOWS": json.dumps([{"url": job.url, "auth": "none", "concurrency": concurrency}]),
        "FLOWBRIDGE_WORKER__CONCURRENCY": str(concurrency),
        "FLOWBRIDGE_HTTP__PORT": "0",
    }


def _node(node_modules: Path | None) -> Subject | Missing:
    node = shutil.which("node")
    if node is None:
        return Missing(name="node", why="there is no node on PATH")
    package = next((each for each in _places(node_modules) if (each / "package.json").is_file()), None)
    if package is None:
        return Missing(name="node", why=f"{_PACKAGE.as_posix()} is not installed here; --node-modules names a folder")
    installed = json.loads((package / "package.json").read_text("utf-8")).get("version", "")
    program = Path(__file__).with_name("node.mjs")
    return Subject(
        name="node",
        command=(node, str(program), str(package.resolve())),
        sdk=f"{_PACKAGE.as_posix()} {installed}",
        is_calm=True,
    )


def _places(node_modules: Path | None) -> Iterable[Path]:
    """Where node would look from the working directory, and where --node-modules says."""
    if node_modules is not None:
        yield from (node_modules / _PACKAGE, node_modules / "node_modules" / _PACKAGE)
    here = Path.cwd()
    yield from (folder / "node_modules" / _PACKAGE for folder in (here, *here.parents))
    yield from (Path(each) / _PACKAGE for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each)
