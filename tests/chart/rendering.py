"""What helm makes of the chart and of values."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml
from chart import tools

CHART: Final = Path(__file__).parents[2] / "charts/flowbridge"
CI: Final = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
NAMESPACE: Final = "flows"
RELEASE: Final = "bridge"

Values: TypeAlias = dict[str, Any]
Object: TypeAlias = dict[str, Any]
LEAST: Final[Values] = yaml.safe_load((CHART / "ci/minimal-values.yaml").read_text())
DOOR: Final[Values] = {  # the least of a door
    "door": {"enabled": True},
    "secrets": {"doorSecret": "correct-horse-battery-staple-behind-the-door"},
    "config": {
        "door": {
            "tenants": ["22222222-2222-2222-2222-222222222222"],
            "audiences": ["api://flowbridge-door"],
            "callers": [{"name": "erp", "roles": ["Flows.Ask"]}],
        }
    },
}


class Refused(Exception):
    """Helm's own words."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Not to be changed: they are rendered once for all tests."""

    all: tuple[Object, ...]

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.all if each["kind"] == kind]

    def one(self, kind: str, name_ends: str = "") -> Object:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"].endswith(name_ends))
        return found

    @property
    def worker(self) -> Object:
        """The pod template of the Deployment."""
        template: Object = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def doors(self) -> list[Object]:
        """The pod template of the StatefulSet, where there is one."""
        return [each["spec"]["template"] for each in self.of("StatefulSet")]

    @property
    def container(self) -> Object:
        return container_of(self.worker)


def container_of(pod: Object) -> Object:
    return next(each for each in pod["spec"]["containers"] if each["name"] == "flowbridge")


def of_file(name: str, release: str = RELEASE, namespace: str = NAMESPACE) -> Objects:
    """Of one of ci/."""
    return _objects((CHART / "ci" / name).read_text(), release, namespace)


def of_values(values: Values, release: str = RELEASE, namespace: str = NAMESPACE) -> Objects:
    """Of the least values and these over them. Raises Refused."""
    return _objects(_text(over(LEAST, values)), release, namespace)


def by_helm_3(name: str) -> Objects:
    return _objects((CHART / "ci" / name).read_text(), RELEASE, NAMESPACE, tools.helm_3())


def notes_of(values: Values) -> str:
    """What helm says after an install."""
    install = (tools.helm_4(), "install", RELEASE, CHART, "-n", NAMESPACE, "--dry-run=client", "-f", "-")
    told = run(*install, stdin=_text(over(LEAST, values)))
    return told.partition("\nNOTES:\n")[2]


def lint(name: str) -> None:
    """Raises Refused."""
    run(tools.helm_4(), "lint", "--strict", CHART, "-n", NAMESPACE, "-f", CHART / "ci" / name)


def over(values: Mapping[str, Any], more: Mapping[str, Any]) -> Values:
    merged = dict(values)
    for key, value in more.items():
        below = merged.get(key)
        merged[key] = over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def run(*command: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run([*map(str, command)], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def _text(values: Values) -> str:
    return str(yaml.dump(values, Dumper=yaml.CSafeDumper))


@cache
def _objects(values: str, release: str, namespace: str, helm: Path | None = None) -> Objects:
    text = run(helm or tools.helm_4(), "template", release, CHART, "-n", namespace, "-f", "-", stdin=values)
    return Objects(tuple(each for each in yaml.load_all(text, yaml.CSafeLoader) if each))
