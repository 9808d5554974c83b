"""The alerts: by promtool when they fire and when not, and where their runbooks are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import tools
from chart.promql import asked_by, faults
from chart.rendering import CHART, DOOR, Object, Refused, of_file, of_values, over, run

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load((Path(__file__).parent / "alert_cases.yaml").read_text())
ON = {"prometheusRule": {"enabled": True}}
NAMES = [rule["alert"] for rule in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["rules"]]
HEADINGS = set(re.findall(r"^### (\w+)$", (CHART / "README.md").read_text(), re.MULTILINE))


def rules(**values: Any) -> dict[str, Object]:
    on = {"prometheusRule": {"enabled": True, **values}}
    return rules_of(of_values(over(DOOR, on)).one("PrometheusRule"))


def rules_of(rule: Object) -> dict[str, Object]:
    (group,) = rule["spec"]["groups"]
    return {each["alert"]: each for each in group["rules"]}


def target_of(name: str) -> dict[str, str]:
    end = "-door" if name.startswith("FlowbridgeDoor") else ""
    return {"namespace": "flows", "job": f"flows/bridge-flowbridge{end}"}


def title(case: dict[str, Any]) -> str:
    (found,) = case.keys() - {"series", "at", "alerts"}
    return str(found)


def promtool_case(name: str, case: dict[str, Any]) -> dict[str, Any]:
    severity, target = rules()[name]["labels"]["severity"], target_of(name)
    alerts = [{"exp_labels": {**target, "severity": severity, **labels}} for labels in case.get("alerts", [])]
    series = [{"series": labelled(each, target), "values": values} for each, values in case["series"].items()]
    return {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": case["at"], "alertname": name, "exp_alerts": alerts}],
    }


def labelled(series: str, target: dict[str, str]) -> str:
    name, _, labels = series.partition("{")
    own = ",".join(f'{key}="{value}"' for key, value in target.items())
    return f"{name}{{{own},{labels}" if labels else f"{name}{{{own}}}"


def rule_file(folder: Path, of: dict[str, Object]) -> Path:
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "flowbridge", "rules": list(of.values())}]}))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_when_it_should_and_keeps_silent_else(name: str, tmp_path: Path) -> None:
    bare = {key: value for key, value in rules()[name].items() if key != "annotations"}  # promtool would compare them
    rule_file(tmp_path, {name: bare})
    cases = [promtool_case(name, case) for case in CASES[name]]
    path = tmp_path / "tests.yaml"
    every = "5m" if bare.get("for") == "15m" else "1m"  # a day in minutes takes seconds
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": cases}))
    run(tools.promtool(), "test", "rules", path)


def test_every_alert_is_seen_firing_and_silent() -> None:
    assert set(CASES) == set(NAMES)
    for name, cases in CASES.items():
        assert all(title(case).startswith("fires" if "alerts" in case else "silent") for case in cases), name
        assert {"alerts" in case for case in cases} == {True, False}, name


def test_promtool_notices_an_alert_that_fails_to_fire(tmp_path: Path) -> None:
    never = {**rules()["FlowbridgeDefects"], "expr": "vector(0) > 1", "annotations": {}}
    rule_file(tmp_path, {"FlowbridgeDefects": never})
    case = promtool_case("FlowbridgeDefects", CASES["FlowbridgeDefects"][0])
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}))
    with pytest.raises(Refused):
        run(tools.promtool(), "test", "rules", tmp_path / "tests.yaml")


@pytest.mark.parametrize("name", ["everything-values.yaml", "topic-retry-keda-values.yaml", "door-values.yaml"])
def test_promtool_finds_nothing_to_say_about_the_rules_of(name: str, tmp_path: Path) -> None:
    run(tools.promtool(), "check", "rules", rule_file(tmp_path, rules_of(of_file(name).one("PrometheusRule"))))


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_asks_for_series_that_there_are_and_for_its_own_release_alone(name: str) -> None:
    expression = rules()[name]["expr"]
    assert list(faults(expression)) == []
    for selector in asked_by(expression).selectors:
        held = {each.name: each.value for each in selector.matchers.matchers}
        assert {key: held[key] for key in target_of(name)} == target_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_words_a_severity_and_a_runbook(name: str) -> None:
    rule = rules(runbooks="https://runbooks.example/flowbridge")[name]
    assert name in HEADINGS
    assert rule["annotations"]["runbook_url"] == f"https://runbooks.example/flowbridge#{name.lower()}"
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "$(" not in yaml.safe_dump(rule)


def test_thresholds_are_all_used_and_come_from_the_values() -> None:
    text = (CHART / "files/alerts.yaml").read_text()
    thresholds = yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"]["thresholds"]
    assert set(re.findall(r"\$\((\w+)\)", text)) == {"selector", "doorSelector", *thresholds}
    changed = rules(thresholds={"loopLagSeconds": 2.5, "answeredPercent": 99.9})
    assert changed["FlowbridgeLoopLag"]["expr"].endswith("> 2.5")
    assert "14.4 * (1 - 99.9 / 100)" in changed["FlowbridgeCallersUnanswered"]["expr"]


def test_alerts_can_be_left_out_relabelled_and_made_graver() -> None:
    changed = rules_of(of_file("everything-values.yaml").one("PrometheusRule"))
    assert "FlowbridgeRestarting" not in changed
    assert changed["FlowbridgeLoopLag"]["labels"] == {"severity": "critical", "team": "integration"}


def test_another_way_of_scraping_brings_its_own_labels() -> None:
    assert rules(selector='app="bridge"')["FlowbridgeAbsent"]["expr"] == 'absent(flowbridge_build_info{app="bridge"})'


def test_no_pods_at_all_are_no_fault_where_there_may_be_none() -> None:
    assert "FlowbridgeAbsent" in rules_of(of_file("everything-values.yaml").one("PrometheusRule"))
    assert "FlowbridgeAbsent" not in rules_of(of_file("topic-retry-keda-values.yaml").one("PrometheusRule"))


def test_where_there_is_no_door_nothing_is_said_of_one() -> None:
    bare = rules_of(of_values(ON).one("PrometheusRule"))
    assert set(NAMES) - set(bare) == {name for name in NAMES if name.startswith("FlowbridgeDoor")}


def test_groups_of_two_releases_have_two_names() -> None:
    groups = [
        of_values(ON, *where).one("PrometheusRule")["spec"]["groups"][0]["name"]
        for where in (("a", "x"), ("b", "x"), ("a", "y"))
    ]
    assert len(set(groups)) == 3
