"""Every file of ci/: what helm says to it, and what the cluster's schemas would say to the objects."""

import tomllib

import pytest
import yaml
from chart.rendering import CHART, CI, by_helm_3, lint, of_file, of_values
from chart.schemas import KUBERNETES, faults


@pytest.mark.parametrize("name", CI)
def test_helm_finds_nothing_to_say_about(name: str) -> None:
    lint(name)


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("name", CI)
def test_every_object_keeps_its_schema(name: str, kubernetes: str) -> None:
    found = [fault for each in of_file(name).all for fault in faults(each, kubernetes)]
    assert found == []


@pytest.mark.parametrize("name", CI)
def test_helm_3_makes_the_same_of(name: str) -> None:
    def in_order(objects: tuple[dict[str, object], ...]) -> list[str]:
        return sorted(yaml.safe_dump(each) for each in objects)

    assert in_order(by_helm_3(name).all) == in_order(of_file(name).all)


def test_schemas_see_an_unknown_field_and_a_wrong_type() -> None:
    triggers = [{"type": "cron", "metadata": {"start": 7}, "surprise": 1}]
    scaled = {"scaleTargetRef": {"name": "x"}, "triggers": triggers}
    head = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "x"}}
    assert len(list(faults({**head, "spec": scaled}, "1.37"))) == 2
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"portts": [], "ports": "none"},
    }
    assert len(list(faults(service, "1.37"))) == 2


def test_an_object_of_a_kind_that_nobody_knows_is_an_error() -> None:
    with pytest.raises((FileNotFoundError, KeyError)):
        list(faults({"apiVersion": "v1", "kind": "Surprise", "metadata": {"name": "x"}}, "1.37"))


def test_the_charts_versions_are_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_the_image_is_named_by_digest_over_tag_over_the_charts_version() -> None:
    assert of_values({}).container["image"] == "flowbridge:0.1.0"
    assert (
        of_values({"image": {"registry": "r.example:5000", "tag": "7"}}).container["image"]
        == "r.example:5000/flowbridge:7"
    )
    digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    assert of_file("everything-values.yaml").container["image"] == f"registry.example/contoso/flowbridge@{digest}"
