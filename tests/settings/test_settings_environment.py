from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.match import Match
from worker.settings import Settings, SettingsInvalid, load

EMULATOR = "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
FILE = """
[servicebus]
namespace = "contoso.servicebus.windows.net"
[worker]
concurrency = 10
[[flows]]
name = "a"
url = "https://a.example.com/"
[[flows]]
name = "b"
url = "https://b.example.com/"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flowbridge.toml"
    path.write_text(FILE)
    return path


def read(file: Path, **variables: str) -> Settings:
    return load(file, {f"FLOWBRIDGE_{name}": value for name, value in variables.items()})


def problems(file: Path | None, **variables: str) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(file, {f"FLOWBRIDGE_{name}": value for name, value in variables.items()})
    return {problem.key: f"{problem.what}. {problem.fix}" for problem in caught.value.problems}


def test_the_environment_wins_over_the_file(file: Path) -> None:
    settings = read(file, WORKER__CONCURRENCY="7", WORKER__DRAIN_S="2.5", SERVICEBUS__REQUEST_SESSIONS="true")
    assert (settings.worker.concurrency, settings.worker.drain_s) == (7, 2.5)
    assert settings.servicebus.request_sessions is True


def test_one_key_of_one_flow_can_be_set(file: Path) -> None:
    settings = read(file, FLOWS__1__URL="https://c.example.com/", FLOWS__1__RETRY__ATTEMPTS="9")
    specs = settings.flow_specs()
    assert specs["a"].url == "https://a.example.com/"
    assert (specs["b"].url, specs["b"].retry.attempts) == ("https://c.example.com/", 9)


def test_a_flow_can_be_added_behind_those_of_the_file(file: Path) -> None:
    settings = read(file, FLOWS__2__NAME="c", FLOWS__2__URL="https://c.example.com/")
    assert list(settings.flow_specs()) == ["a", "b", "c"]


def test_more_than_ten_items_keep_their_order() -> None:
    environ = {"FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING": EMULATOR}
    for number in range(12):
        environ[f"FLOWBRIDGE_FLOWS__{number}__NAME"] = f"f{number}"
        environ[f"FLOWBRIDGE_FLOWS__{number}__URL"] = "https://a.example.com/"
    assert list(load(None, environ).flow_specs()) == [f"f{number}" for number in range(12)]


def test_whole_tables_and_lists_are_json_and_their_members_win_over_them(file: Path) -> None:
    settings = read(
        file,
        FLOWS='[{"name": "x", "url": "https://x.example.com/"}]',
        FLOWS__0__TIMEOUT_S="3",
        ROUTES='[{"flow": "x", "match": {"stage": 40}}]',
        HTTP='{"port": 9}',
    )
    assert settings.flow_specs()["x"].timeout_s == 3
    assert settings.route_rules()[0].match.stage == 40
    assert settings.http.port == 9


def test_a_route_can_be_written_key_by_key(file: Path) -> None:
    settings = read(file, ROUTES__0__FLOW="a", ROUTES__0__MATCH__STAGE="40", ROUTES__0__MATCH__PROPERTY__REGION="emea")
    match = settings.route_rules()[0].match
    assert (match.stage, match.properties) == (40, {"region": "emea"})


def test_a_match_inside_a_match_can_be_written_key_by_key(file: Path) -> None:
    settings = read(
        file,
        ROUTES__0__FLOW="a",
        ROUTES__0__MATCH__CHANGED='["name", "fax"]',
        ROUTES__0__MATCH__PRESENT="name,fax",
        ROUTES__0__MATCH__ANY='[{"table": "account"}]',
        ROUTES__0__MATCH__ANY__1__NOT__STAGE="20",
        ROUTES__0__MATCH__NOT__TABLE="contact",
        DATAVERSE__ORGANIZATIONS="contoso",
    )
    assert settings.route_rules()[0].match == Match(
        changed=("name", "fax"),
        present=("name", "fax"),
        any=(Match(table="account"), Match(unless=Match(stage=20))),
        unless=Match(table="contact"),
    )
    assert settings.dataverse.admission().organizations == ("contoso",)


@pytest.mark.parametrize(
    ("text", "queues"), [("a,b", ("a", "b")), ('["a", "b"]', ("a", "b")), ("a", ("a",)), ("", ()), ("[]", ())]
)
def test_a_list_of_plain_values_may_be_written_with_commas(file: Path, text: str, queues: tuple[str, ...]) -> None:
    assert read(file, SERVICEBUS__REPLY_QUEUES=text).servicebus.reply_queues == queues


def test_a_list_of_numbers_may_be_empty(file: Path) -> None:
    assert read(file, WORKER__REDELIVERY_S="").worker.redelivery_s == ()
    assert read(file, WORKER__REDELIVERY_S="1, 2").worker.redelivery_s == (1, 2)


def test_a_connection_string_replaces_the_namespace_of_the_file(file: Path) -> None:
    settings = read(file, SERVICEBUS__CONNECTION_STRING=EMULATOR)
    assert settings.servicebus.namespace is None
    assert settings.servicebus.uses_emulator


def test_an_empty_variable_is_an_absent_value(file: Path) -> None:
    settings = read(file, SERVICEBUS__CONNECTION_STRING="", SERVICEBUS__RETRY_QUEUE="", IDENTITY__CLIENT_ID="")
    assert settings.servicebus.namespace == "contoso.servicebus.windows.net"
    assert settings.servicebus.connection_string is None
    assert settings.identity.client_id is None


def test_a_secret_can_be_a_mounted_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "bus").write_text(EMULATOR + "\n")
    (tmp_path / "url").write_text("https://flows.example.com/?sig=s\n")
    settings = read(
        file,
        SERVICEBUS__CONNECTION_STRING_FILE=str(tmp_path / "bus"),
        FLOWS__0__URL_FILE=str(tmp_path / "url"),
        FLOWS__0__AUTH="sas",
    )
    assert settings.servicebus.uses_emulator
    assert settings.flow_specs()["a"].url == "https://flows.example.com/?sig=s"


@pytest.mark.parametrize(
    ("content", "what"), [(None, "can't be read"), (b" \n", "is empty"), (b"\xff", "isn't UTF-8 at byte 0")]
)
def test_a_mounted_file_that_holds_nothing_usable_is_a_problem(
    file: Path, tmp_path: Path, content: bytes | None, what: str
) -> None:
    mounted = tmp_path / "bus"
    if content is not None:
        mounted.write_bytes(content)
    found = problems(file, SERVICEBUS__CONNECTION_STRING_FILE=str(mounted))
    assert list(found) == ["servicebus.connection_string_file"]
    assert what in found["servicebus.connection_string_file"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("WORKER__CONCURENCY", "did you mean FLOWBRIDGE_WORKER__CONCURRENCY?"),
        ("HTTP_PORT", "did you mean FLOWBRIDGE_HTTP__PORT?"),
        ("FLOWS__0__ULR", "did you mean FLOWBRIDGE_FLOWS__0__URL?"),
        ("FLOWS__FIRST__URL", "flows is a list: its items are numbered from 0"),
        ("ROUTES__0__MATCH__NOT__TABEL", "did you mean FLOWBRIDGE_ROUTES__0__MATCH__NOT__TABLE?"),
        ("HTTP__PORT__X", "http.port has no keys of its own"),
        ("XYZZY", "known here: FLOWBRIDGE_DATAVERSE, FLOWBRIDGE_DOOR, FLOWBRIDGE_FLOWS"),
    ],
)
def test_a_misspelt_variable_is_a_problem_with_a_suggestion(file: Path, name: str, fix: str) -> None:
    found = problems(file, **{name: "1"})
    assert list(found) == [f"FLOWBRIDGE_{name}"]
    assert fix in found[f"FLOWBRIDGE_{name}"]


def test_a_wrong_value_names_its_key_and_its_variable(file: Path) -> None:
    found = problems(file, WORKER__CONCURRENCY="many", HTTP__PORT="70000")
    assert "expected an integer, got 'many' (from FLOWBRIDGE_WORKER__CONCURRENCY)" in found["worker.concurrency"]
    assert "expected at most 65535, got 70000" in found["http.port"]


@pytest.mark.parametrize("text", ["{", "7", "{}", "x,y"])
def test_a_list_of_tables_that_is_not_json_is_a_problem(file: Path, text: str) -> None:
    assert "expected a list as JSON" in problems(file, FLOWS=text)["FLOWBRIDGE_FLOWS"]


def test_a_gap_in_the_numbers_is_a_problem(file: Path) -> None:
    told = problems(file, FLOWS__5__URL="https://x.example.com/")["FLOWBRIDGE_FLOWS__5__URL"]
    assert "expected item 2 next, got item 5: number them from 0 without gaps" in told


def test_variables_that_kubernetes_makes_of_a_service_are_no_settings(file: Path) -> None:
    settings = read(
        file,
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT="80",
        SERVICE_PORT_HTTP="80",
        PORT="tcp://10.0.0.1:80",
        PORT_80_TCP="tcp://10.0.0.1:80",
        PORT_80_TCP_ADDR="10.0.0.1",
        METRICS_PORT="tcp://10.0.0.1:80",
        METRICS_SERVICE_HOST="10.0.0.1",
    )
    assert settings.worker.concurrency == 10


def test_variables_of_the_commands_are_no_settings(file: Path) -> None:
    assert read(file, CONFIG="x", LOG_LEVEL="debug", DEBUG="1").worker.concurrency == 10


@given(
    st.dictionaries(
        st.lists(
            st.sampled_from(
                ["flows", "0", "1", "url", "http", "port", "routes", "match", "property", "any", "not", "changed", "x"]
            ),
            min_size=1,
        )
        .map("__".join)
        .map(lambda name: f"FLOWBRIDGE_{name}".upper()),
        st.sampled_from(
            ["", "1", "x", "[]", "{}", "[1]", '{"port": []}', '[{"url": 1}]', '[{"polling_hosts": [1, 2]}]']
        ),
        max_size=5,
    )
)
def test_no_environment_makes_loading_fall_over(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(None, environ)
    assert caught.value.problems
