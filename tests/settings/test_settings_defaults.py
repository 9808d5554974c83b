from pathlib import Path

import pytest

from worker.core.admission import AdmissionSpec
from worker.core.flow_spec import BreakerSpec, FlowSpec, RetrySpec
from worker.core.match import Match
from worker.core.route import RouteRule
from worker.settings import Settings, load

LEAST = {
    "FLOWBRIDGE_SERVICEBUS__NAMESPACE": "contoso.servicebus.windows.net",
    "FLOWBRIDGE_FLOWS__0__URL": "https://flows.example.com/run",
}
EVERYTHING = """
[servicebus]
connection_string = "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
transport = "websockets"
request_topic = "requests"
request_subscription = "worker"
retry_queue = "retries"
lock_s = 30
max_delivery_count = 5
reply_queues = ["a", "b"]
[identity]
kind = "static"
client_id = "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10"
cloud = "gcc-high"
[worker]
concurrency = 20
drain_s = 10
grace_s = 15.5
max_age_s = 3600
default_timeout_s = 30
redelivery_s = [1, 2.5]
[dataverse]
max_depth = 3
organizations = ["contoso"]
[http]
host = "0.0.0.0"
port = 0
[[flows]]
name = "credit-check"
url = "https://flows.example.com/run?sig=s"
method = "PUT"
auth = "sas"
scope = "https://elsewhere/.default"
timeout_s = 7
idempotent = true
after_crash = "indeterminate"
concurrency = 3
rate_per_s = 1.5
hedge_after_s = 2.5
max_response_bytes = 1000
polling_hosts = ["poll.example.com"]
truncated = "pass"
body = "context"
[flows.retry]
attempts = 2
first_s = 0.1
max_s = 1
[flows.breaker]
window_s = 5
min_calls = 2
failure_ratio = 0.25
slow_s = 3
slow_ratio = 1
open_s = 2
probes = 4
[[flows]]
name = "other"
url = "http://127.0.0.1:9000/run"
auth = "none"
[[routes]]
flow = "credit-check"
match.property = { region = "emea", priority = 3, urgent = true }
match.message = "Update"
match.table = "account"
match.stage = 40
match.mode = 1
match.depth = 1
match.organization = "contoso"
match.user = "{6B1C1C1E-6b5e-4f5c-9d43-02c4a2e51f10}"
match.initiating_user = "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10"
match.custom_api = "new_Check"
match.subject = "s"
match.present = ["name"]
match.changed = ["creditlimit", "revenue"]
match.any = [{ table = "account" }, { table = "contact", not = { stage = 20 } }]
match.not = { any = [{ depth = 2 }] }
[[routes]]
flow = "other"
"""


def test_the_least_configuration_is_a_namespace_and_a_url() -> None:
    settings = load(None, LEAST)
    assert list(settings.flow_specs()) == ["flow"]
    assert settings.route_rules() == ()


def test_the_defaults_are_the_contracts() -> None:
    settings = load(None, LEAST)
    bus = settings.servicebus
    assert (bus.transport, bus.request_queue, bus.request_sessions, bus.retry_queue) == (
        "amqp",
        "flow-requests",
        False,
        None,
    )
    assert (bus.lock_s, bus.max_delivery_count, bus.reply_queues) == (60, 10, ("flow-replies",))
    assert (settings.identity.kind, settings.identity.client_id, settings.identity.cloud) == ("managed", None, "public")
    worker = settings.worker
    assert (worker.concurrency, worker.drain_s, worker.grace_s, worker.max_age_s) == (200, 120, 150, 86_400)
    assert (worker.default_timeout_s, worker.redelivery_s) == (110, (5, 30, 120, 600))
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert settings.dataverse.admission() == AdmissionSpec(max_depth=8, organizations=())
    assert settings.flow_specs()["flow"] == FlowSpec(
        name="flow",
        url="https://flows.example.com/run",
        scope="https://service.flow.microsoft.com//.default",
        retry=RetrySpec(),
        breaker=BreakerSpec(),
    )


def test_every_key_of_the_file_arrives(tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text(EVERYTHING)
    settings = load(file, {})
    assert settings.servicebus.uses_emulator
    assert settings.servicebus.retry_queue == "retries"
    assert settings.identity.fixed_by_cloud.authority == "login.microsoftonline.us"
    assert settings.worker.redelivery_s == (1, 2.5)
    assert settings.http.port == 0
    assert settings.dataverse.admission() == AdmissionSpec(max_depth=3, organizations=("contoso",))
    specs = settings.flow_specs()
    assert specs["credit-check"] == FlowSpec(
        name="credit-check",
        url="https://flows.example.com/run?sig=s",
        method="PUT",
        auth="sas",
        scope="https://elsewhere/.default",
        timeout_s=7,
        idempotent=True,
        after_crash="indeterminate",
        concurrency=3,
        rate_per_s=1.5,
        hedge_after_s=2.5,
        max_response_bytes=1000,
        polling_hosts=("poll.example.com",),
        truncated="pass",
        body="context",
        retry=RetrySpec(attempts=2, first_s=0.1, max_s=1),
        breaker=BreakerSpec(window_s=5, min_calls=2, failure_ratio=0.25, slow_s=3, slow_ratio=1, open_s=2, probes=4),
    )
    assert specs["other"].scope == "https://high.service.flow.microsoft.us//.default"
    conditions = {"region": "emea", "priority": "3", "urgent": "true"}
    assert settings.route_rules() == (
        RouteRule(
            flow="credit-check",
            match=Match(
                message="Update",
                table="account",
                stage=40,
                mode=1,
                depth=1,
                organization="contoso",
                user="{6B1C1C1E-6b5e-4f5c-9d43-02c4a2e51f10}",
                initiating_user="6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10",
                custom_api="new_Check",
                subject="s",
                properties=conditions,
                present=("name",),
                changed=("creditlimit", "revenue"),
                any=(Match(table="account"), Match(table="contact", unless=Match(stage=20))),
                unless=Match(any=(Match(depth=2),)),
            ),
        ),
        RouteRule(flow="other", match=Match()),
    )


def test_a_byte_order_mark_in_the_file_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_bytes(b"\xef\xbb\xbf" + EVERYTHING.encode())
    assert load(file, {}).worker.concurrency == 20


@pytest.mark.parametrize(
    ("cloud", "authority", "scope"),
    [
        ("public", "login.microsoftonline.com", "https://service.flow.microsoft.com//.default"),
        ("gcc", "login.microsoftonline.com", "https://gov.service.flow.microsoft.us//.default"),
        ("gcc-high", "login.microsoftonline.us", "https://high.service.flow.microsoft.us//.default"),
        ("dod", "login.microsoftonline.us", "https://service.flow.appsplatform.us//.default"),
        ("china", "login.chinacloudapi.cn", "https://service.powerautomate.cn//.default"),
    ],
)
def test_a_cloud_fixes_authority_and_flow_audience(cloud: str, authority: str, scope: str) -> None:
    settings = load(None, {**LEAST, "FLOWBRIDGE_IDENTITY__CLOUD": cloud})
    assert settings.identity.fixed_by_cloud.authority == authority
    assert settings.flow_specs()["flow"].scope == scope


def test_a_caller_needs_no_flow() -> None:
    environ = {"FLOWBRIDGE_SERVICEBUS__NAMESPACE": "contoso.servicebus.windows.net"}
    assert load(None, environ, needs_flows=False).flows == ()


def test_secrets_never_show(tmp_path: Path) -> None:
    file = tmp_path / "flowbridge.toml"
    file.write_text(
        EVERYTHING.replace("SharedAccessKey=k", "SharedAccessKey=TOPSECRET").replace("sig=s", "sig=TOPSECRET")
    )
    settings = load(file, {})
    assert "TOPSECRET" not in repr(settings) + str(settings) + repr(settings.flow_specs())


def test_settings_are_frozen() -> None:
    settings: Settings = load(None, LEAST)
    with pytest.raises(ValueError, match="frozen"):
        settings.worker.concurrency = 1
