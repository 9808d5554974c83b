"""The schemas that a cluster would hold objects against."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jsonschema_rs
from chart import tools
from chart.rendering import Object

KUBERNETES: Final = ("1.29", "1.37")  # the oldest that the chart takes, and the newest there is
_DEFINITIONS: Final = "/api/_definitions.json"


def faults(an_object: Object, kubernetes: str) -> Iterator[str]:
    """KeyError or FileNotFoundError for a kind that nobody knows."""
    for error in _validator(kubernetes, an_object["apiVersion"], an_object["kind"]).iter_errors(an_object):
        place = "/".join(str(part) for part in error.instance_path)
        yield f"{an_object['kind']} {an_object['metadata']['name']}: {place}: {error.message}"


@cache
def _validator(kubernetes: str, version: str, kind: str) -> jsonschema_rs.Validator:
    group = version.rpartition("/")[0]
    is_custom = "." in group and not group.endswith(".k8s.io")
    return jsonschema_rs.validator_for(
        _custom()[f"{version} {kind}"] if is_custom else _built_in(kubernetes, version, kind)
    )


@cache
def _custom() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tools.custom_schemas().read_text())
    return found


def _built_in(kubernetes: str, version: str, kind: str) -> dict[str, Any]:
    group, slash, number = version.rpartition("/")
    name = "-".join([kind.lower(), *([group.partition(".")[0]] if slash else []), number])
    folder = files("kubernetes_validate") / f"kubernetes-json-schema/v{kubernetes}.0-local-strict"
    text = (folder / f"{name}.json").read_text().replace(f"{_DEFINITIONS}#", "#")
    schema: dict[str, Any] = json.loads(text)
    return {**schema, "$defs": _definitions(kubernetes)}


@cache
def _definitions(kubernetes: str) -> Any:
    folder = files("kubernetes_validate") / f"kubernetes-json-schema/v{kubernetes}.0-local-strict"
    return json.loads((folder / "_definitions.json").read_text().replace(f"{_DEFINITIONS}#", "#"))["$defs"]
