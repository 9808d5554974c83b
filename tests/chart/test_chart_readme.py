"""The chart's README: its table of values is the generator's, its links lead somewhere; and the notes after install."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from chart import tools
from chart.rendering import CHART, DOOR, notes_of, over

README = (CHART / "README.md").read_text()
COMMAND = "node_modules/.bin/readme-generator"


def test_the_table_of_values_is_what_the_generator_makes(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    shutil.copy(CHART / "README.md", copy)
    generator = tools.readme_generator() / COMMAND
    told = subprocess.run(
        [generator, "-v", CHART / "values.yaml", "-r", copy], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert copy.read_text() == README, (
        f"run {generator} -v charts/flowbridge/values.yaml -r charts/flowbridge/README.md"
    )


def test_links_lead_to_files_and_headings() -> None:
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert (CHART / path).exists(), target
        assert not anchor or path or anchor in anchors, target


def test_examples_are_yaml() -> None:
    for block in re.findall(r"^```yaml\n(.+?)\n```$", README, re.MULTILINE | re.DOTALL):
        assert isinstance(yaml.safe_load(block), dict)


def test_every_alert_that_is_written_about_is_one() -> None:
    alerts = {rule["alert"] for rule in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["rules"]}
    assert set(re.findall(r"^### (\w+)$", README, re.MULTILINE)) >= alerts
    assert set(re.findall(r"Flowbridge\w+", README)) == alerts


def test_the_notes_have_both_subjects_and_the_commands() -> None:
    bus = {"namespace": "contoso.servicebus.windows.net"}
    config = {"servicebus": bus, "identity": {"kind": "workload", "client_id": "c"}}
    scaling = {"minReplicas": 0, "keda": {"enabled": True, "operator": {"namespace": "scaling"}}}
    notes = notes_of({"secrets": {"connectionString": ""}, "config": config, "autoscaling": scaling})
    assert "--subject system:serviceaccount:flows:bridge-flowbridge --audiences api://AzureADTokenExchange" in notes
    assert "--subject system:serviceaccount:scaling:keda-operator --audiences api://AzureADTokenExchange" in notes
    assert "helm -n flows test bridge" in notes
    assert "the first caller waits" in notes


def test_the_notes_say_where_the_door_is_and_what_it_may_do() -> None:
    bus = {"namespace": "contoso.servicebus.windows.net"}
    config = {"servicebus": bus, "identity": {"kind": "workload", "client_id": "c"}}
    ingress = {"enabled": True, "host": "flows.contoso.example"}
    account = {"create": True}
    values = {"secrets": {"connectionString": ""}, "config": config, "door": {"ingress": ingress}}
    shared = notes_of(over(DOOR, values))
    assert "at https://flows.contoso.example/v1/flows/FLOW" in shared
    assert "http://bridge-flowbridge-door.flows:80/v1/flows/FLOW" in shared
    assert "rollout status statefulset/bridge-flowbridge-door" in shared
    assert "Keep door-secret in the Secret bridge-flowbridge as it is" in shared
    assert "The worker's identity, which it shares, needs" in shared
    assert "Data Sender on flow-requests and Data Receiver on flow-replies" in shared
    own = notes_of(over(DOOR, over(values, {"door": {"serviceAccount": account}})))
    assert "Its identity needs" in own
    assert "system:serviceaccount:flows:bridge-flowbridge-door." in own


def test_the_notes_say_no_more_than_concerns_these_values() -> None:
    notes = notes_of({})
    assert "serviceaccount" not in notes
    assert "KEDA" not in notes
    assert "door" not in notes
    assert "{{" not in notes
