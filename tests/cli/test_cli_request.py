import json
import socket
from pathlib import Path

import pytest
from support.house import House

from worker.cli.request import STATUS
from worker.core.outcome import Outcome
from worker.emulator.standins import Answer, PlatformError

from .conftest import RunCommand

BODY = b"\x00\xffexactly these bytes\n"


def test_every_outcome_has_the_exit_status_of_the_contract() -> None:
    assert STATUS == {
        Outcome.ANSWERED: 0,
        Outcome.REFUSED: 3,
        Outcome.UNAVAILABLE: 4,
        Outcome.INDETERMINATE: 4,
        Outcome.EXPIRED: 5,
        Outcome.REJECTED: 6,
    }


async def test_an_answer_goes_to_stdout_byte_for_byte_and_its_outcome_to_stderr(
    house: House, command: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(BODY)
    async with house.worker():
        ran = await command("request", "--body", f"@{tmp_path / 'body'}", "--content-type", "x/y")
    assert (ran.status, ran.out) == (0, BODY)
    assert ran.err.startswith("answered · HTTP 200 · 1 attempt · ")
    assert house.flow.calls[0].headers["content-type"] == "x/y"


async def test_the_outcome_is_told_by_the_exit_status_and_as_json(house: House, command: RunCommand) -> None:
    house.flow.script("no", Answer(status=409, body=b'{"why":"\xc3\xa9"}'))
    house.flow.script("busy", PlatformError.throttled("600"))
    async with house.worker({"name": "no"}, {"name": "busy"}):
        refused = await command("request", "--flow", "no", "--json", "--property", "idempotency-key=order-7")
        throttled = await command("request", "--flow", "busy")
        rejected = await command("request", "--json")
    facts = json.loads(refused.out)
    assert refused.status == 3
    assert list(facts) == [
        *("outcome", "http_status", "attempts", "elapsed_ms", "run_id", "content_type", "body", "correlation_id")
    ]
    assert (facts["outcome"], facts["http_status"], facts["attempts"]) == ("refused", 409, 1)
    assert (facts["body"], facts["content_type"]) == ('{"why":"é"}', "application/json")
    assert facts["correlation_id"] == house.flow.calls[0].headers["x-ms-client-tracking-id"]
    assert house.flow.calls[0].headers["idempotency-key"] == "order-7"
    assert throttled.status == 4
    assert "retry after 600 s" in throttled.err
    assert rejected.status == 6
    assert json.loads(rejected.out)["content_type"] == "application/problem+json"


async def test_no_reply_in_time_is_told_with_nothing_on_stdout(house: House, command: RunCommand) -> None:
    silent = await command("request", "--body", "x", "--timeout", "1")
    assert (silent.status, silent.out) == (5, b"")
    assert silent.err.startswith("no reply: No reply to request ")


async def test_a_request_that_no_broker_can_be_reached_for_was_not_sent(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        broker = f"Endpoint=sb://127.0.0.1:{unheard.getsockname()[1]};SharedAccessKeyName=k;SharedAccessKey=k;"
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", f"{broker}UseDevelopmentEmulator=true;")
        ran = await command("request", "--body", "x", "--timeout", "0.3")
    assert (ran.status, ran.out) == (5, b"")
    assert ran.err.startswith("The request was not sent: ")
    assert "no connection to the broker" in ran.err


async def test_a_reply_queue_that_is_not_there_is_told_at_once(house: House, command: RunCommand) -> None:
    ran = await command("request", "--body", "x", "--reply-queue", "nowhere", "--timeout", "20")
    assert (ran.status, ran.out) == (1, b"")
    assert "there is no such queue" in ran.err
    assert "Traceback" not in ran.err


async def test_without_any_reply_queue_there_is_nothing_to_ask(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__REPLY_QUEUES", "[]")
    ran = await command("request", "--body", "x")
    assert ran.status == 1
    assert "--reply-queue" in ran.err
