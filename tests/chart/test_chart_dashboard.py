"""The Grafana dashboard: that it asks for what the worker says, and what the chart makes of it."""

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from chart.promql import asked_by, faults, metrics
from chart.rendering import CHART, of_file, of_values

DASHBOARD: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    for holder in (*PANELS, {"targets": DASHBOARD["annotations"]["list"]}):
        for target in holder["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_a_panel_asks_for_series_and_labels_that_there_are(expression: str) -> None:
    assert list(faults(expression)) == []


def test_every_panel_is_held_to_what_is_chosen_above() -> None:
    for expression in expressions():
        for selector in asked_by(expression).selectors:
            named = {each.name for each in selector.matchers.matchers}
            assert {"namespace", "job", "pod"} <= named
            assert "flow" in named or "flow" not in metrics()[str(selector.name)]


def test_what_worker_and_door_count_is_on_the_dashboard() -> None:
    shown = {str(selector.name) for expression in expressions() for selector in asked_by(expression).selectors}
    families = {name.removesuffix(end) for name in shown for end in ("", "_bucket", "_sum", "_count")}
    beside = {"flowbridge_token_age_seconds", "flowbridge_process_max_fds", "flowbridge_process_virtual_memory_bytes"}
    wanted = {name for name in metrics() if not name.endswith(("_bucket", "_sum", "_count"))}
    assert wanted - families == beside


def test_variables_ask_for_series_and_labels_that_there_are() -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            series, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            assert list(faults(series)) == []
            (selector,) = asked_by(series).selectors
            assert label in metrics()[str(selector.name)]


def test_nothing_lies_over_anything() -> None:
    places = [(panel["id"], panel["gridPos"]) for panel in DASHBOARD["panels"]]
    assert len({number for number, _ in places}) == len(places)
    for (one, a), (other, b) in combinations(places, 2):
        is_beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        is_above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert is_beside or is_above, f"{one} and {other}"
        assert a["x"] + a["w"] <= 24


def test_the_source_of_every_panel_can_be_chosen() -> None:
    sources = [target["datasource"] for panel in PANELS for target in panel["targets"]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def test_a_release_finds_itself_on_a_dashboard_of_its_own() -> None:
    config_map = of_file("private-cloud-values.yaml").one("ConfigMap", "-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    ((name, text),) = config_map["data"].items()
    dashboard = json.loads(text)
    chosen = {each["name"]: each["current"].get("value") for each in dashboard["templating"]["list"]}
    assert (chosen["namespace"], chosen["release"]) == ("flows", "flows/bridge-flowbridge")
    assert dashboard["title"] == "flowbridge: flows/bridge-flowbridge"
    assert name == "flows-bridge-flowbridge.json"
    assert dashboard["panels"] == DASHBOARD["panels"]


def test_dashboards_of_two_releases_are_two_also_in_one_folder() -> None:
    values = {"dashboard": {"enabled": True, "namespace": "monitoring"}}
    maps = [of_values(values, *where).one("ConfigMap", "-dashboard") for where in (("a", "x"), ("b", "x"), ("a", "y"))]
    texts = [json.loads(text) for each in maps for text in each["data"].values()]
    assert {each["metadata"]["namespace"] for each in maps} == {"monitoring"}
    assert len({each["metadata"]["name"] for each in maps}) == 3
    assert len({key for each in maps for key in each["data"]}) == 3
    assert len({each["uid"] for each in texts}) == len({each["title"] for each in texts}) == 3
