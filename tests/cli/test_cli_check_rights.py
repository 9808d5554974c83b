from typing import Any

from support.house import load_document

from worker.cli.finding import Finding, Verdict
from worker.cli.preflight.entities import azure
from worker.cli.preflight.rights import rights

NAMESPACE = {"namespace": "contoso.servicebus.windows.net"}
KEY = {"connection_string": "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"}
SCOPE = (
    "--scope '/subscriptions/<subscription>/resourceGroups/<resource-group>"
    "/providers/Microsoft.ServiceBus/namespaces/contoso/"
)


def found(servicebus: dict[str, Any], *, shows_commands: bool = False, object_id: str | None = None) -> list[Finding]:
    document = {"servicebus": servicebus, "flows": [{"url": "https://flows.example.com/"}]}
    settings = load_document(document)
    return list(rights(settings, azure(settings, object_id=object_id), shows_commands=shows_commands))


def test_each_side_is_told_its_roles_in_a_line() -> None:
    worker, callers = found(NAMESPACE)
    assert worker.detail == ("the roles Receiver and Sender on queue 'flow-requests'; Sender on queue 'flow-replies'")
    assert callers.detail == "the roles Sender on queue 'flow-requests'; Receiver on queue 'flow-replies'"
    assert {worker.verdict, callers.verdict} == {Verdict.OK}
    assert worker.mend is None


def test_queues_that_need_the_same_are_told_together() -> None:
    worker, callers = found({**NAMESPACE, "reply_queues": ["one", "two"]})
    assert worker.detail.endswith("; Sender on queue 'one', queue 'two'")
    assert callers.detail.endswith("; Receiver on queue 'one', queue 'two'")


def test_keys_have_rights_instead_of_roles_and_no_command_assigns_them() -> None:
    worker, callers = found(KEY, shows_commands=True)
    assert worker.detail == "a key with Listen and Send on queue 'flow-requests'; Send on queue 'flow-replies'"
    assert callers.detail == "a key with Send on queue 'flow-requests'; Listen on queue 'flow-replies'"
    assert worker.mend is None


def test_commands_name_the_role_and_the_entity_alone() -> None:
    topic = {**NAMESPACE, "request_topic": "events", "request_subscription": "worker", "retry_queue": "retries"}
    worker, callers = found(topic, shows_commands=True, object_id="1-2-3")
    assert worker.mend is not None
    lines = worker.mend.splitlines()
    assert [line.rpartition("/namespaces/contoso/")[2] for line in lines] == [
        "topics/events/subscriptions/worker'",
        "queues/retries'",
        "queues/retries'",
        "queues/flow-replies'",
    ]
    assert lines[0] == (
        "az role assignment create --role 'Azure Service Bus Data Receiver' --assignee-object-id 1-2-3 "
        f"--assignee-principal-type ServicePrincipal {SCOPE}topics/events/subscriptions/worker'"
    )
    assert callers.mend is not None
    assert "--assignee-object-id '<object-id-of-the-caller>'" in callers.mend
    assert f"{SCOPE}topics/events'" in callers.mend


def test_programs_get_every_need_with_its_reason_and_command() -> None:
    worker, _ = found(NAMESPACE)
    needs = worker.facts["needs"]
    assert isinstance(needs, list)
    assert [(need["entity"], need["key_right"]) for need in needs] == [
        ("queues/flow-requests", "Listen"),
        ("queues/flow-requests", "Send"),
        ("queues/flow-replies", "Send"),
    ]
    assert needs[1]["role_definition_id"] == "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"
    assert "copies" in needs[1]["why"]
    assert needs[1]["command"].endswith("/queues/flow-requests'")


def test_no_reply_queue_is_hinted_at() -> None:
    *_, told = found({**NAMESPACE, "reply_queues": []})
    assert (told.name, told.verdict) == ("replies", Verdict.HINT)
