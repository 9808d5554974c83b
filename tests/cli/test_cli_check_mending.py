"""Why a link can't be opened, over the wire, and the command that mends it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from flow.certificates import ThrowAwayAuthority
from support.house import load_document

from worker.cli.preflight.entities import azure
from worker.cli.preflight.mending import Mending
from worker.core.roles import Need, Queue, Right, Subscription
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker, SasKey
from worker.emulator.standins import IdentityStandIn
from worker.emulator.standins.tokens import OBJECT
from worker.servicebus.faults import Fault

from .conftest import RunCommand

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the SDK leaves them to the collector

REFUSED = {
    "locked": ("amqp:unauthorized-access", "Unauthorized access. 'Send' claim(s) are required. TrackingId:1"),
    "off": ("com.microsoft:entity-disabled", "Messaging entity is disabled"),
    "fenced": ("amqp:unauthorized-access", "Ip has been prevented to connect to the endpoint. TrackingId:2"),
    "full": ("amqp:resource-limit-exceeded", "The maximum size has been reached"),
}
TOPOLOGY = Topology(
    queues=(
        QueueProperties(name="flow-requests", lock_s=60),
        QueueProperties(name="ordered", requires_session=True, lock_s=30),
        QueueProperties(name="sessionless"),
        *(QueueProperties(name=name, requires_session=True) for name in ("flow-replies", *REFUSED)),
    )
)
KEY = SasKey(name="bridge", key="right", accepts_jwt=True)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ThrowAwayAuthority:
    authority = ThrowAwayAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    return authority


@pytest.fixture
async def broker(authority: ThrowAwayAuthority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedBroker]:
    """As Azure's: under TLS, with an identity; what it lacks, and what not, is up to the test."""
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", "https://flows.example.com/")
    async with (
        EmbeddedBroker(TOPOLOGY, auth=KEY, tls=authority.server_context("127.0.0.1")) as broker,
        IdentityStandIn() as identity,
    ):
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.url)
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__NAMESPACE", f"127.0.0.1:{broker.port}")
        yield broker


async def failures(command: RunCommand) -> dict[str, dict[str, Any]]:
    ran = await command("check", "--json")
    assert ran.status == 1
    return {each["name"]: each for each in json.loads(ran.out)["findings"] if each["verdict"] == "failed"}


async def test_each_link_that_fails_has_the_command_for_just_its_queue(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue, (condition, description) in REFUSED.items():
        broker.faults.refuse_attaches(queue, condition=condition, description=description)
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_QUEUE", "ordered")
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REPLY_QUEUES", ",".join(["nowhere", "sessionless", *REFUSED]))
    failed = await failures(command)

    def of(queue: str) -> tuple[str, str]:
        finding = failed[f"send replies to queue '{queue}'"]
        return finding["facts"]["fault"], finding["mend"]

    where = "--namespace-name '<namespace>' --resource-group '<resource-group>'"
    create = "--enable-session true --enable-duplicate-detection true --duplicate-detection-history-time-window PT10M"
    assert of("nowhere") == ("missing", f"az servicebus queue create --name nowhere {where} {create}")
    fault, mend = of("locked")
    assert fault == "not-allowed"
    assert mend.startswith(
        f"az role assignment create --role 'Azure Service Bus Data Sender' --assignee-object-id {OBJECT} "
    )
    assert mend.endswith("/namespaces/<namespace>/queues/locked'")
    assert of("off") == ("disabled", f"az servicebus queue update --name off {where} --status Active")
    assert of("full") == ("full", f"az servicebus queue update --name full {where} --max-size 5120")
    assert of("fenced")[0] == "firewall"
    assert "network-rule-set ip-rule add" in of("fenced")[1]
    sessions = failed["accept a reply session of queue 'sessionless'"]
    assert sessions["mend"].splitlines() == [
        f"az servicebus queue delete --name sessionless {where}  # with all that is on it",
        f"az servicebus queue create --name sessionless {where} {create}",
    ]
    ordered = failed["receive requests from queue 'ordered'"]
    assert ordered["facts"] == {"entity": "queues/ordered", "fault": "sessions"}
    assert ordered["mend"] == "export FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS=true"


async def test_commands_stand_below_what_failed(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS", "true")
    ran = await command("check", "--roles")
    assert ran.status == 1
    lines = ran.out.decode().splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("FAILED  "))
    assert lines[failed].startswith("FAILED  accept a session of queue 'flow-requests': ")
    assert lines[failed + 1] == "        export FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS=false"
    assert sum(line.startswith("        az role assignment create ") for line in lines) == 4
    assert broker.facts.counts("flow-requests").ready == 0


async def test_a_command_that_mends_several_failures_is_shown_once(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REPLY_QUEUES", "nowhere")
    ran = await command("check")
    assert ran.status == 1
    lines = ran.out.decode().splitlines()
    assert [line.startswith("        az servicebus queue create ") for line in lines].count(True) == 1
    assert lines.count("        (the command above)") == 1
    assert ran.err.startswith("2 of ")
    assert broker.facts.counts("flow-requests").ready == 0


async def test_a_lock_duration_that_the_settings_have_wrong_is_hinted_at_where_it_can_be_seen(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS", "true")
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_QUEUE", "ordered")
    ran = await command("check", "--json")
    assert ran.status == 0
    [told] = [each for each in json.loads(ran.out)["findings"] if each["name"] == "lock duration"]
    assert told["verdict"] == "hint"
    assert "lasts about 30 s, and lock_s says 60 s" in told["detail"]
    assert broker.facts.counts("ordered").ready == 0


async def test_a_key_that_is_refused_is_to_be_read_again(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWBRIDGE_SERVICEBUS__NAMESPACE")
    wrong = broker.connection_string.replace("SharedAccessKey=right", "SharedAccessKey=wrong-key")
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", wrong)
    ran = await command("check", "--json")
    assert ran.status == 1
    assert b"wrong-key" not in ran.out
    failed = {each["name"]: each for each in json.loads(ran.out)["findings"] if each["verdict"] == "failed"}
    is_there, keys = failed["receive requests from queue 'flow-requests'"]["mend"].splitlines()
    assert is_there.startswith("az servicebus queue show --name flow-requests ")
    assert keys.startswith("az servicebus namespace authorization-rule keys list --name bridge ")


@pytest.mark.parametrize(
    ("settings", "fault", "mend"),
    [
        ({}, "connection-refused", "export FLOWBRIDGE_SERVICEBUS__TRANSPORT=websockets"),
        ({"TRANSPORT": "websockets"}, "connection-refused", "az servicebus namespace network-rule-set show "),
        ({"NAMESPACE": "contoso.invalid"}, "name-unknown", "az servicebus namespace list "),
    ],
)
async def test_a_broker_that_is_not_reached_is_told_with_another_way(  # noqa: PLR0917 - fixtures and parameters
    broker: EmbeddedBroker,
    command: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    fault: str,
    mend: str,
) -> None:
    broker.faults.refuse_connections()
    for name, value in settings.items():
        monkeypatch.setenv(f"FLOWBRIDGE_SERVICEBUS__{name}", value)
    failed = (await failures(command))["receive requests from queue 'flow-requests'"]
    assert failed["facts"]["fault"] == fault
    assert failed["mend"].startswith(mend)


async def test_a_certificate_that_is_not_trusted_wants_its_authority_named(
    broker: EmbeddedBroker, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    failed = (await failures(command))["receive requests from queue 'flow-requests'"]
    assert failed["mend"] == "export SSL_CERT_FILE='<authority.pem>'"
    assert broker.facts.connections == 0


async def test_the_embedded_broker_is_mended_by_its_own_command(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", "http://127.0.0.1/")
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__AUTH", "none")
    async with EmbeddedBroker(TOPOLOGY) as broker:
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", broker.connection_string)
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REPLY_QUEUES", "flow-replies,nowhere")
        failed = await failures(command)
    assert set(failed) == {"send replies to queue 'nowhere'", "accept a reply session of queue 'nowhere'"}
    assert {finding["mend"] for finding in failed.values()} == {
        "flowbridge emulator --queue flow-requests --queue flow-replies:session --queue nowhere:session"
    }


def mending(servicebus: dict[str, Any]) -> Mending:
    document = {"servicebus": servicebus, "flows": [{"url": "https://flows.example.com/"}]}
    settings = load_document(document)
    return Mending(settings=settings, azure=azure(settings))


NAMESPACE = {"namespace": "contoso.servicebus.windows.net", "lock_s": 45, "max_delivery_count": 5}
CONNECTION = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=bridge;SharedAccessKey=k"
REQUESTS = Need(right=Right.RECEIVE, entity=Queue(name="flow-requests"), why="")


def test_a_request_queue_is_made_as_the_settings_say() -> None:
    made = mending(NAMESPACE).command_for(Fault.MISSING, REQUESTS)
    assert made == (
        "az servicebus queue create --name flow-requests --namespace-name contoso --resource-group '<resource-group>' "
        "--lock-duration PT45S --max-delivery-count 5 --enable-dead-lettering-on-message-expiration true "
        "--enable-duplicate-detection true --duplicate-detection-history-time-window PT10M"
    )
    ordered = mending({**NAMESPACE, "request_sessions": True}).command_for(Fault.MISSING, REQUESTS)
    assert ordered is not None
    assert "--enable-session true" in ordered


def test_a_subscription_is_made_with_its_topic_where_that_is_missing_too() -> None:
    topic = {**NAMESPACE, "request_topic": "events", "request_subscription": "worker", "retry_queue": "retries"}
    need = Need(right=Right.RECEIVE, entity=Subscription(topic="events", name="worker"), why="")
    made = mending(topic).command_for(Fault.MISSING, need)
    assert made is not None
    first, second = made.splitlines()
    assert first.startswith("az servicebus topic show --name events ")
    assert " || az servicebus topic create --name events " in first
    assert second.startswith("az servicebus topic subscription create --name worker --topic-name events ")
    assert "duplicate" not in second, "a subscription detects none: its topic does"


def test_a_key_without_the_right_gets_it_in_its_policy() -> None:
    granted = mending({"connection_string": CONNECTION}).command_for(Fault.NOT_ALLOWED, REQUESTS)
    assert granted is not None
    assert "authorization-rule update --name bridge --rights Listen Send --namespace-name contoso" in granted


def test_a_namespace_without_keys_wants_roles() -> None:
    assigned = mending({"connection_string": CONNECTION}).command_for(Fault.KEYS_DISABLED, REQUESTS)
    assert assigned is not None
    assert assigned.count("az role assignment create") == 3


def test_no_command_is_made_up_for_what_is_not_known() -> None:
    assert mending(NAMESPACE).command_for(Fault.OTHER, REQUESTS) is None
    assert mending(NAMESPACE).command_for(None, REQUESTS) is None
