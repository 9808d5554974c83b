import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from worker.cli.main import main

CLAIM = "http://schemas.microsoft.com/xrm/2011/Claims/RequestName=Update"
SETTINGS = """
[servicebus]
namespace = "contoso.servicebus.windows.net"
[[flows]]
name = "credit-check"
url = "https://flows.example.com/?sig=TOPSECRET"
auth = "sas"
[[flows]]
name = "billing"
url = "https://flows.example.com/"
truncated = "pass"
[[routes]]
flow = "billing"
match = { table = "contact" }
[[routes]]
flow = "credit-check"
match = { message = "update", changed = ["creditlimit"] }
[[routes]]
flow = "billing"
match = { subject = "late" }
"""
CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"

Routed: TypeAlias = tuple[int, str, str]


def update(credit_limit: int, **members: Any) -> str:
    """Of an account whose credit limit was 5."""

    def account(value: int) -> dict[str, Any]:
        attributes = [{"key": "creditlimit", "value": value}]
        return {"__type": f"Entity:{CONTRACTS}", "LogicalName": "account", "Attributes": attributes}

    sent = {
        "MessageName": "Update",
        "PrimaryEntityName": "account",
        "Stage": 40,
        "Mode": 0,
        "Depth": 1,
        "OrganizationName": "contoso",
        "UserId": "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10",
        "InputParameters": [{"key": "Target", "value": account(credit_limit)}],
        "PreEntityImages": [{"key": "before", "value": account(5)}],
    }
    return json.dumps({**sent, **members})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "flowbridge.toml"
    file.write_text(SETTINGS)
    return file


@pytest.fixture
def routed(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(arguments: Sequence[str]) -> Routed:
        status = main(["route", "--config", str(config), *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_an_event_and_the_way_to_its_flow_are_told(routed: Any) -> None:
    status, out, err = routed(["--body", update(6, NewMember=1), "--content-type", "application/json"])
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "event: Update of account",
        "  stage: 40 (after the main operation)",
        "  mode: 0 (synchronous)",
        "  depth: 1",
        "  organization: contoso",
        "  user: 6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10",
        "  members not known here: NewMember",
        "routes[0] → billing: not taken, table: wanted contact, found account",
        "routes[1] → credit-check: matched",
        "routes[2] → billing: not looked at",
        "flow: credit-check (routes[1])",
    ]


def test_the_same_is_told_as_json(routed: Any) -> None:
    status, out, _ = routed(["--json", "--body", update(6), "--content-type", "application/json"])
    told = json.loads(out)
    assert status == 0
    assert list(told) == ["event", "routes", "flow", "reason", "detail"]
    assert (told["event"]["table"], told["event"]["stage"], told["event"]["others"]) == ("account", 40, [])
    assert told["routes"] == [
        {"flow": "billing", "matched": False, "condition": "table", "wanted": "contact", "found": "account"},
        {"flow": "credit-check", "matched": True, "condition": None, "wanted": None, "found": None},
        {"flow": "billing", "matched": None, "condition": None, "wanted": None, "found": None},
    ]
    assert (told["flow"], told["reason"], told["detail"]) == ("credit-check", None, None)


def test_without_a_content_type_a_context_is_taken_for_what_it_looks_like(routed: Any, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(update(6))
    status, out, err = routed(["--body", f"@{tmp_path / 'event.json'}"])
    assert status == 0
    assert err == ""
    assert "event: Update of account" in out


def test_the_property_flow_decides_where_no_route_does(routed: Any) -> None:
    status, out, _ = routed(["--body", update(5), "--property", "flow=billing"])
    assert status == 0
    assert "changed: wanted another creditlimit than before, found the value of the pre-image" in out
    assert "routes[2] → billing: not taken, subject: wanted late, found none" in out
    assert out.endswith("flow: billing (no route matched; the property flow names it)\n")


def test_the_only_flow_needs_no_word(routed: Any, config: Path) -> None:
    config.write_text(SETTINGS.split('[[flows]]\nname = "billing"', maxsplit=1)[0])
    status, out, _ = routed(["--body", "hello", "--content-type", "text/plain"])
    assert status == 0
    assert out.endswith("flow: credit-check (no route matched; it is the only flow)\n")


def test_the_subject_is_looked_at(routed: Any) -> None:
    assert routed(["--body", "x", "--subject", "late"])[1].endswith("flow: billing (routes[2])\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--body", "x"], "the body is no RemoteExecutionContext"),
        (["--body", "x", "--content-type", "text/plain"], "its content type is text/plain"),
        (["--body", '{"order": 7}'], "expected a RemoteExecutionContext"),
        (["--body", "x", "--content-type", "application/xml"], "the body is no RemoteExecutionContext"),
    ],
)
def test_why_a_message_is_no_event_is_told(routed: Any, arguments: list[str], why: str) -> None:
    status, out, _ = routed([*arguments, "--subject", "late"])
    assert status == 0
    assert f"event: none: {why}" in out
    assert "routes[0] → billing: not taken, table: wanted contact, found no Dataverse event" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--body", "x"], "rejected: Unroutable: no route matched and the property flow is absent"),
        (["--body", "x", "--property", "flow=nope"], "rejected: Unroutable: the property flow names 'nope'"),
        (["--body", "[]", "--content-type", "application/json", "--property", CLAIM], "rejected: Malformed: the Data"),
        (["--body", update(6, InputParameters=7)], "rejected: Malformed: the Dataverse context can't be read: Input"),
        (["--body", update(6, Depth=9)], "rejected: Unroutable: the event is at depth 9"),
        (["--body", update(6), "--property", "MessageMaxSizeExceeded=1"], "rejected: Truncated: Dataverse left"),
    ],
)
def test_a_rejection_is_told_with_its_reason_and_exit_status_6(routed: Any, arguments: list[str], told: str) -> None:
    status, out, _ = routed(arguments)
    assert status == 6
    assert told in out.splitlines()[-1]


def test_a_context_that_is_broken_where_no_route_looks_is_routed_and_told_of(routed: Any) -> None:
    status, out, _ = routed(["--body", update(6, PrimaryEntityName="contact", InputParameters=7)])
    assert status == 0
    assert "  beyond these facts it can't be read: InputParameters: expected a list, found an integer" in out


def test_a_route_that_nobody_can_tell_is_neither_matched_nor_not(routed: Any) -> None:
    _, out, _ = routed(["--json", "--body", update(6, InputParameters=7)])
    told = json.loads(out)
    assert [route["matched"] for route in told["routes"]] == [False, None, None]
    assert (told["flow"], told["reason"]) == (None, "Malformed")


def test_a_refused_event_is_not_routed_at_all(routed: Any) -> None:
    told = json.loads(routed(["--json", "--body", update(6, Depth=9)])[1])
    assert [route["matched"] for route in told["routes"]] == [None, None, None]
    assert told["event"]["depth"] == 9


def test_neither_secrets_nor_control_characters_reach_the_terminal(routed: Any) -> None:
    _, out, _ = routed(["--body", update(6, PrimaryEntityName="x\x1b[2J sig=TOPSECRET")])
    assert "TOPSECRET" not in out
    assert "\x1b" not in out


def test_an_argument_that_is_no_unicode_is_told_escaped(routed: Any) -> None:
    status, out, _ = routed(["--body", "x", "--subject", "\udcff", "--property", "flow=billing"])
    assert status == 0
    assert "subject: wanted late, found \\udcff" in out
    status, out, _ = routed(["--json", "--body", "x", "--subject", "\udcff", "--property", "flow=billing"])
    assert status == 0
    assert json.loads(out)["routes"][2]["found"] == "\udcff"


def test_bad_settings_are_told_as_of_every_command(config: Path, routed: Any) -> None:
    config.write_text(SETTINGS.replace("table =", "tabel ="))
    status, _, err = routed(["--body", "x"])
    assert status == 2
    assert "routes[0].match.tabel" in err
