import json

import pytest
from support.house import House, open_house

from worker.emulator.standins import Refuse

from .conftest import Ran, RunCommand


def findings(ran: Ran) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["verdict"], each["detail"]) for each in json.loads(ran.out)["findings"]}


@pytest.fixture
def flow(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", house.flow.url_of("flow"))


@pytest.mark.usefixtures("flow")
async def test_all_is_well_where_everything_is_there(house: House, command: RunCommand) -> None:
    ran = await command("check")
    assert ran.status == 0
    told = ran.out.decode()
    assert "ok  token for https://service.flow.microsoft.com//.default: valid for 2" in told
    assert "ok  receive requests from queue 'flow-requests'" in told
    assert "ok  send replies to queue 'flow-replies'" in told
    assert "ok  accept a reply session of queue 'flow-replies'" in told
    assert len(house.flow.calls) == 0


@pytest.mark.usefixtures("flow")
async def test_a_round_trip_is_answered_without_a_call_of_the_flow(house: House, command: RunCommand) -> None:
    ran = await command("check", "--round-trip", "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["ok"] is True
    assert findings(ran)["round trip"][0] == "ok"
    assert len(house.flow.calls) == 0
    assert house.broker.facts.messages("flow-requests") == []
    assert house.broker.facts.messages("flow-requests/$DeadLetterQueue") == []


@pytest.mark.usefixtures("flow")
async def test_each_failure_says_what_to_do(house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    house.identity.script(Refuse(status=400, error="invalid_request", description="Identity not found"))
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REPLY_QUEUES", "flow-replies,nowhere")
    ran = await command("check", "--json")
    assert ran.status == 1
    failed = {name: detail for name, (verdict, detail) in findings(ran).items() if verdict == "failed"}
    assert set(failed) == {
        "token for https://service.flow.microsoft.com//.default",
        "send replies to queue 'nowhere'",
        "accept a reply session of queue 'nowhere'",
    }
    assert "Identity not found" in failed["token for https://service.flow.microsoft.com//.default"]
    assert "Create it, or correct its name" in failed["send replies to queue 'nowhere'"]


async def test_bad_settings_are_failed_findings(command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_WORKER__CONCURENCY", "3")
    as_json, as_text = await command("check", "--json"), await command("check")
    assert as_json.status == as_text.status == 1
    assert json.loads(as_json.out)["ok"] is False
    found = findings(as_json)
    assert set(found) == {"FLOWBRIDGE_WORKER__CONCURENCY", "servicebus", "flows"}
    assert {verdict for verdict, _ in found.values()} == {"failed"}
    assert found["FLOWBRIDGE_WORKER__CONCURENCY"][1] == (
        "there is no such setting. Did you mean FLOWBRIDGE_WORKER__CONCURRENCY?"
    )
    for name, (_, detail) in found.items():
        assert detail.endswith((".", "?"))
        assert f"FAILED  {name}: {detail}\n" in as_text.out.decode()
    assert as_text.err == "3 of 3 checks failed.\n"


@pytest.mark.usefixtures("flow")
async def test_a_queue_for_later_requests_that_is_not_there_is_told_as_such(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_QUEUE", "nowhere")
    ran = await command("check", "--json")
    assert ran.status == 1
    verdict, detail = findings(ran)["send requests for later to queue 'nowhere'"]
    assert verdict == "failed"
    assert detail.startswith("there is no such queue")


@pytest.mark.usefixtures("flow")
async def test_sessions_that_the_queue_does_not_keep_are_told_and_no_round_trip_is_tried(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS", "true")
    ran = await command("check", "--round-trip", "--json")
    assert ran.status == 1
    verdict, detail = findings(ran)["accept a session of queue 'flow-requests'"]
    assert verdict == "failed"
    assert "request_sessions" in detail
    assert "round trip" not in findings(ran)


async def test_a_queue_with_sessions_can_be_checked_and_asked(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(request_sessions=True) as ordered:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", ordered.identity.url)
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", ordered.broker.connection_string)
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS", "true")
        monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", ordered.flow.url_of("flow"))
        ran = await command("check", "--round-trip", "--json")
        assert ran.status == 0
        assert findings(ran)["round trip"][0] == "ok"
        async with ordered.worker(servicebus={"request_sessions": True}):
            asked = await command("request", "--body", "hello")
        assert (asked.status, asked.out) == (0, b"hello")


@pytest.mark.usefixtures("flow")
async def test_a_fleet_that_cannot_be_counted_is_hinted_at(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_WORKER__REPLICAS", "3")
    assert findings(await command("check", "--json"))["fleet"][0] == "ok"
    monkeypatch.setenv("FLOWBRIDGE_WORKER__REPLICAS_DNS", "workers.invalid")
    verdict, detail = findings(await command("check", "--json"))["fleet"]
    assert verdict == "hint"
    assert "workers.invalid" in detail
    assert "shared by 3" in detail
