"""What the door's settings say about each other."""

import pytest

from worker.core.door.asker import CallerSpec
from worker.settings import SettingsInvalid, load

ID = "11111111-2222-4333-8444-555555555555"
GOOD = {
    "SERVICEBUS__NAMESPACE": "contoso.servicebus.windows.net",
    "FLOWS__0__NAME": "credit-check",
    "FLOWS__0__URL": "https://flows.example.com/run",
    "FLOWS__1__NAME": "other",
    "FLOWS__1__URL": "https://flows.example.com/other",
    "DOOR__HOST": "0.0.0.0",
    "DOOR__TENANTS": f'["{ID}"]',
    "DOOR__AUDIENCES": '["api://door"]',
    "DOOR__SECRET": "0123456789abcdef0123456789abcdef",
    "DOOR__CALLERS": f'[{{"name": "erp", "ids": ["{{{ID.upper()}}}"], "flows": ["credit-check"]}}]',
}


def problems(**changes: str) -> dict[str, str]:
    environ = {f"FLOWBRIDGE_{name}": text for name, text in {**GOOD, **changes}.items() if text}
    try:
        load(None, environ)
    except SettingsInvalid as invalid:
        return {problem.key: problem.what for problem in invalid.problems}
    return {}


def test_a_caller_is_known_by_its_id_however_it_is_written() -> None:
    settings = load(None, {f"FLOWBRIDGE_{name}": text for name, text in GOOD.items()})
    (caller,) = settings.door.callers
    assert caller.spec() == CallerSpec(name="erp", ids=frozenset({ID}), flows=frozenset({"credit-check"}))


@pytest.mark.parametrize(
    ("changes", "key", "what"),
    [
        ({"DOOR__SECRET": ""}, "door.secret", "made up"),
        ({"DOOR__SECRET": "short"}, "door.secret", "at least 32"),
        ({"DOOR__AUTHORITY": "http://login.example"}, "door.authority", "not loopback"),
        ({"DOOR__PEERS": "http://{replica}:1"}, "door.replicas", "names of all"),
        ({"DOOR__TENANTS": "", "DOOR__AUDIENCES": "", "DOOR__CALLERS": ""}, "door.tenants", "whoever reaches the door"),
        ({"DOOR__AUDIENCES": ""}, "door.audiences", "expected at least one"),
        ({"DOOR__CALLERS": ""}, "door.callers", "expected at least one"),
        ({"DOOR__CALLERS": '[{"name": "a"}]'}, "door.callers[0]", "ids or roles"),
        (
            {"DOOR__CALLERS": '[{"name": "a", "roles": ["r"]}, {"name": "a", "roles": ["s"]}]'},
            "door.callers[0].name",
            "several",
        ),
        (
            {"DOOR__CALLERS": '[{"name": "a", "roles": ["r"], "flows": ["credit-chek"]}]'},
            "door.callers[0].flows",
            "no flow",
        ),
        ({"DOOR__DEFAULT_WAIT_S": "200"}, "door.default_wait_s", "at most"),
        ({"DOOR__PEERS": "http://door:8081", "DOOR__REPLICAS": '["a"]'}, "door.peers", "{replica}"),
        ({"DOOR__PEERS": "ftp://{replica}", "DOOR__REPLICAS": '["a"]'}, "door.peers", "URL"),
        (
            {"DOOR__PEERS": "http://{replica}:1", "DOOR__REPLICA": "a", "DOOR__REPLICAS": '["b"]'},
            "door.replica",
            "none of",
        ),
        ({"DOOR__REPLICA": "Door_0"}, "door.replica", "lower-case"),
        ({"DOOR__REPLY_QUEUE": "elsewhere"}, "door.reply_queue", "no worker would answer"),
        ({"DOOR__AUTHORITY": "login"}, "door.authority", "URL"),
        ({"DOOR__REMEMBER_S": "60"}, "door.remember_s", "600"),
    ],
)
def test_what_would_not_work_is_refused(changes: dict[str, str], key: str, what: str) -> None:
    found = problems(**changes)
    assert {name.replace("[1]", "[0]") for name in found} == {key}
    assert what in found[key]


def test_on_loopback_a_door_may_ask_for_no_token() -> None:
    assert problems(DOOR__HOST="127.0.0.1", DOOR__TENANTS="", DOOR__AUDIENCES="", DOOR__CALLERS="") == {}
