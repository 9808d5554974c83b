from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from worker.settings import SettingsInvalid, load

BUS = '[servicebus]\nnamespace = "contoso.servicebus.windows.net"\n'
EMULATOR = "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
TOPIC = 'request_topic = "t"\nrequest_subscription = "s"\n'
FLOW = '[[flows]]\nname = "a"\nurl = "https://a.example.com/"\n'

ProblemsOf: TypeAlias = Callable[[str | bytes], dict[str, str]]


@pytest.fixture
def problems_of(tmp_path: Path) -> ProblemsOf:
    def read(text: str | bytes) -> dict[str, str]:
        file = tmp_path / "flowbridge.toml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(SettingsInvalid) as caught:
            load(file, {})
        return {problem.key: f"{problem.what}. {problem.fix}" for problem in caught.value.problems}

    return read


def test_everything_wrong_is_reported_at_once(problems_of: ProblemsOf) -> None:
    found = problems_of(
        """
        [servicebus]
        namespace = "contoso"
        trnasport = "amqp"
        [worker]
        concurrency = "many"
        drain_s = 150
        redelivery_s = [1, "x", -2]
        [[flows]]
        name = "a"
        url = "http://flows.example.com/"
        [[flows]]
        name = "a"
        url = "https://flows.example.com/"
        idempotent = 1
        [[routes]]
        flow = "credit"
        [http]
        port = 70000
        """
    )
    assert set(found) == {
        "servicebus.namespace",
        "servicebus.trnasport",
        "worker.concurrency",
        "worker.drain_s",
        "worker.redelivery_s[1]",
        "worker.redelivery_s[2]",
        "flows[0].url",
        "flows[1].name",
        "flows[1].idempotent",
        "routes[0].flow",
        "http.port",
    }
    assert "did you mean transport?" in found["servicebus.trnasport"]
    assert "expected less than worker.grace_s (150), got 150" in found["worker.drain_s"]
    assert "concurrency = 200" in found["worker.concurrency"]


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        (FLOW, "servicebus", "got neither"),
        (
            f'[servicebus]\nnamespace = "x.example.com"\nconnection_string = "{EMULATOR}"\n{FLOW}',
            "servicebus.connection_string",
            "got both",
        ),
        (f'{BUS}request_topic = "t"\nretry_queue = "r"\n{FLOW}', "servicebus.request_subscription", "none is set"),
        (f"{BUS}{TOPIC}{FLOW}", "servicebus.retry_queue", "redelivery_s = []"),
        (f'{BUS}{TOPIC}request_sessions = true\nretry_queue = "r"\n{FLOW}', "servicebus.retry_queue", "no copy of it"),
        (f'{BUS}request_queue = "q"\n{TOPIC}retry_queue = "r"\n{FLOW}', "servicebus.request_topic", "got both"),
        (f'{BUS}request_subscription = "s"\n{FLOW}', "servicebus.request_subscription", "without request_topic"),
        (f'{BUS}retry_queue = "s"\n{FLOW}', "servicebus.retry_queue", "without request_topic"),
        (f'{BUS}{TOPIC}retry_queue = "r"\n[worker]\nconcurrency = 1\n{FLOW}', "worker.concurrency", "got 1"),
        (f'{BUS}reply_queues = ["a", "A"]\n{FLOW}', "servicebus.reply_queues", "listed twice"),
        (f'{BUS}reply_queues = ["Flow-Requests"]\n{FLOW}', "servicebus.reply_queues", "its own answers"),
        (f'{BUS}reply_queues = [""]\n{FLOW}', "servicebus.reply_queues[0]", "isn't empty"),
        (f"{BUS}lock_s = 600\n{FLOW}", "servicebus.lock_s", "at most 300"),
        (f'{BUS}transport = "quic"\n{FLOW}', "servicebus.transport", "'amqp' or 'websockets'"),
        (f'{BUS}[identity]\nkind = "static"\n{FLOW}', "identity.kind", "UseDevelopmentEmulator=true"),
        (f'{BUS}[identity]\nkind = "magic"\n{FLOW}', "identity.kind", "'managed', 'workload', 'default' or 'static'"),
        (f"{BUS}[worker]\ngrace_s = nan\n{FLOW}", "worker.grace_s", "expected"),
        (f"{BUS}[worker]\ndrain_s = true\n{FLOW}", "worker.drain_s", "expected a number, got true"),
        (f"{BUS}[worker]\nconcurrency = 1.0\n{FLOW}", "worker.concurrency", "expected an integer, got 1.0"),
        (f'{BUS}[http]\nport = "80"\n{FLOW}', "http.port", "expected an integer, got '80'"),
        (f'{BUS}[http]\nhost = "http://x"\n{FLOW}', "http.host", "without scheme"),
        (f"{BUS}http = 3\n{FLOW}", "servicebus.http", "no such key"),
        (BUS, "flows", "at least one flow"),
        (f"flows = 3\n{BUS}", "flows", "expected a list, got 3"),
        (f"flows = [3]\n{BUS}", "flows[0]", "expected a table, got 3"),
        (f"{BUS}[[flows]]\n", "flows[0].url", "got none"),
        (f'{BUS}{FLOW}[[flows]]\nurl = "https://b.example.com/"', "flows[1].name", "name each"),
        (f"{BUS}{FLOW}timeout_s = 0", "flows[0].timeout_s", "more than 0"),
        (f"{BUS}{FLOW}hedge_after_s = 2", "flows[0].hedge_after_s", "set idempotent = true"),
        (f"{BUS}{FLOW}idempotent = true\nhedge_after_s = -2", "flows[0].hedge_after_s", "at least 0"),
        (f"{BUS}[worker]\nreplicas = 0\n{FLOW}", "worker.replicas", "at least 1"),
        (f"{BUS}[worker]\nprocesses = 65\n{FLOW}", "worker.processes", "at most 64"),
        (
            f"{BUS}[worker]\nprocesses = 4\nconcurrency = 3\n{FLOW}",
            "worker.concurrency",
            "expected at least 1 for each of worker.processes (4), got 3. raise it, or lower processes",
        ),
        (
            f'{BUS}{TOPIC}retry_queue = "r"\n[worker]\nprocesses = 4\nconcurrency = 7\n{FLOW}',
            "worker.concurrency",
            "expected at least 2 for each of worker.processes (4), one slot for the subscription",
        ),
        (
            f"{BUS}[worker]\nprocesses = 2\nreplicas = 3\n{FLOW}concurrency = 5",
            "flows[0].concurrency",
            "each process of each replica, 6 in all, got 5",
        ),
        (f'{BUS}[worker]\nreplicas_dns = "http://x"\n{FLOW}', "worker.replicas_dns", "without scheme"),
        (f'{BUS}{FLOW}method = "BREW"', "flows[0].method", "'POST'"),
        (f'{BUS}{FLOW}auth = "none"', "flows[0].auth", "loopback"),
        (f'{BUS}{FLOW}auth = "sas"', "flows[0].auth", "sig="),
        (f'{BUS}{FLOW}polling_hosts = ["https://x"]', "flows[0].polling_hosts[0]", "without scheme"),
        (f"{BUS}{FLOW}[flows.retry]\nfirst_s = 30", "flows[0].retry.first_s", "at most retry.max_s (20)"),
        (f"{BUS}{FLOW}[flows.breaker]\nfailure_ratio = 2", "flows[0].breaker.failure_ratio", "at most 1"),
        (f'{BUS}[[flows]]\nurl = "https://a.example.com/?sig=s"', "flows[0].auth", 'auth = "sas"'),
        (f'{BUS}[[flows]]\nurl = "http://a.example.com/"', "flows[0].url", "http:// to a.example.com"),
        (f'{BUS}[[flows]]\nurl = "ftp://a.example.com/"', "flows[0].url", "https:// URL"),
        (f'{BUS}[[flows]]\nurl = "https://me:pw@a.example.com/"', "flows[0].url", "without user name"),
        (f'{BUS}[[flows]]\nurl = "https://a.example.com:99999/"', "flows[0].url", "https:// URL"),
        (f"{BUS}{FLOW}[[routes]]\nmatch = {{}}", "routes[0].flow", "got none"),
        (f'{BUS}{FLOW}[[routes]]\nflow = "b"', "routes[0].flow", "no flow named 'b'"),
        (f'{BUS}{FLOW}[[routes]]\nflow = "a"\nmatch = {{ stag = 40 }}', "routes[0].match.stag", "did you mean stage?"),
        (
            f'{BUS}{FLOW}[[routes]]\nflow = "a"\nmatch = {{ property = {{ b = [] }} }}',
            "routes[0].match.property.b",
            "a list",
        ),
        (f"{BUS}{FLOW}[worker]\na = 1\n[retries]\n", "retries", "no such key"),
    ],
)
def test_each_problem_names_its_key_and_its_fix(problems_of: ProblemsOf, text: str, key: str, what: str) -> None:
    found = problems_of(text)
    assert what in found.get(key, ""), found


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]:9/x", "http://127.9.9.9/"]
)
def test_plain_http_to_this_machine_is_fine(tmp_path: Path, url: str) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text(f'{BUS}[[flows]]\nurl = "{url}"\nauth = "none"')
    assert load(file, {}).flow_specs()["flow"].url == url


@pytest.mark.parametrize(
    ("connection_string", "what"),
    [
        ("SharedAccessKeyName=n;SharedAccessKey=TOPSECRET", "begins Endpoint=sb://"),
        ("Endpoint=https://h/;SharedAccessKeyName=n;SharedAccessKey=TOPSECRET", "begins Endpoint=sb://"),
        ("Endpoint=sb://h/;SharedAccessKey=TOPSECRET", "no SharedAccessKeyName"),
        ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=TOPSECRET;EntityPath=q", "EntityPath"),
        ("TOPSECRET", "begins Endpoint=sb://"),
    ],
)
def test_a_broken_connection_string_is_described_without_its_values(
    problems_of: ProblemsOf, connection_string: str, what: str
) -> None:
    found = problems_of(f'[servicebus]\nconnection_string = "{connection_string}"\n{FLOW}')
    assert list(found) == ["servicebus.connection_string"]
    assert what in found["servicebus.connection_string"]
    assert "TOPSECRET" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        f'[servicebus]\nnamespace = "Endpoint=sb://h/;SharedAccessKey=TOPSECRET"\n{FLOW}',
        f'{BUS}transport = "SharedAccessKey=TOPSECRET"\n{FLOW}',
        f'{BUS}[[flows]]\nname = "a"\nurl = ["https://x/?sig=TOPSECRET"]',
        f'{BUS}[[flows]]\nname = "a"\nurl = "http://a.example.com/?sig=TOPSECRET"',
        f'{BUS}connectionstring = "TOPSECRET"\n{FLOW}',
        f'{BUS}{FLOW}key = "TOPSECRET"',
        f'{BUS}flow = "https://x/?sig=TOPSECRET"\n{FLOW}',
    ],
)
def test_no_problem_repeats_a_secret(problems_of: ProblemsOf, text: str) -> None:
    assert "TOPSECRET" not in str(problems_of(text))


def test_what_depends_on_a_wrong_value_is_not_reported_again(problems_of: ProblemsOf) -> None:
    found = problems_of(f"{BUS}[worker]\ndrain_s = 200\ngrace_s = 'long'\n{FLOW}")
    assert list(found) == ["worker.grace_s"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[servicebus\n", "line 1, column 12"),
        (b"a = 1\nb =\n", "line 2, column 4"),
        (b'a = "\xff"', "expected UTF-8, found another encoding at byte 5"),
    ],
)
def test_a_file_that_is_not_toml_says_where(problems_of: ProblemsOf, content: bytes, what: str) -> None:
    found = problems_of(content)
    file = next(iter(found))
    assert file.endswith("flowbridge.toml")
    assert what in found[file]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path / "absent.toml", {})
    assert "No such file" in str(caught.value)


def test_a_problem_reads_as_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text(f"{BUS}[worker]\nconcurency = 3\n{FLOW}")
    with pytest.raises(SettingsInvalid) as caught:
        load(file, {})
    assert str(caught.value) == "worker.concurency: there is no such key. Did you mean concurrency?"
