"""The command on a broker over real sockets, in this process; where it is to be killed, in one of its own."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from core.conftest import delivery_of
from support.burying import bury
from support.house import DEAD_LETTERS, REPLIES, REQUESTS, House, open_house

from worker.cli.dead_letters.journal_file import JournalFile, steps_of
from worker.cli.failure import CommandFailed
from worker.cli.main import main
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import Sample, sample
from worker.core.dead_letters.copying import copy_of
from worker.core.dead_letters.journal import Step

from .conftest import RunCommand

FLOWS = [
    {"name": "credit", "url": "http://127.0.0.1:9/?sig=TOPSECRET", "auth": "sas"},
    {"name": "billing", "url": "http://127.0.0.1:9/", "auth": "none", "idempotent": True},
]
ROUTES = [{"flow": "billing", "match": {"subject": "late"}}]


@pytest.fixture(autouse=True)
def flows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS", json.dumps(FLOWS))
    monkeypatch.setenv("FLOWBRIDGE_ROUTES", json.dumps(ROUTES))
    monkeypatch.chdir(tmp_path)


async def bury_some(house: House) -> None:
    """Of credit two that never ran, one of them routed to billing, one that is late and one that may have run; and one
    of billing that may have, too.
    """
    credit: dict[str, Any] = {"application_properties": {"flow": "credit"}}
    billing = {"application_properties": {"flow": "billing"}}
    await bury(
        house.client,
        REQUESTS,
        {"message_id": "a", **credit},
        {"message_id": "b", **credit, "subject": "late"},
        {"message_id": "c", **credit, "reason": "Expired"},
        {"message_id": "d", **credit, "reason": "FlowIndeterminate"},
        {"message_id": "e", **billing, "reason": "FlowIndeterminate"},
    )


def told(out: bytes) -> Any:
    return json.loads(out)


async def test_the_list_counts_by_reason_and_flow_and_says_what_cannot_be_read(
    house: House, command: RunCommand
) -> None:
    await bury_some(house)
    ran = await command("dead-letters", "list")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.decode().splitlines()
    assert lines[0] == "5 dead letters of queue 'flow-requests'"
    assert lines[1].split() == ["count", "reason", "flow", "oldest", "newest"]
    assert [line.split()[:3] for line in lines[2:]] == [
        ["1", "Expired", "credit"],
        ["1", "FlowIndeterminate", "billing"],
        ["1", "FlowIndeterminate", "credit"],
        ["1", "FlowUnavailable", "billing"],
        ["1", "FlowUnavailable", "credit"],
    ]
    ran = await command(
        "dead-letters", "list", "--json", "--rows", "--reason", "flowindeterminate", "--flow", "billing"
    )
    facts = told(ran.out)
    assert (facts["queue"], facts["count"], facts["unreadable"]) == (REQUESTS, 1, [])
    [row] = facts["rows"]
    assert (row["message_id"], row["request_id"], row["may_have_run"], row["one_way"]) == ("e", "e", True, True)
    ran = await command("dead-letters", "list", "--rows", "--max", "2")
    rows = ran.out.decode().splitlines()[-2:]
    assert [row.split()[4] for row in rows] == ["a", "b"]
    assert "nobody answered" in rows[0]


async def test_one_is_shown_with_its_context_as_plain_json_and_without_secrets(
    house: House, command: RunCommand
) -> None:
    event = sample(Sample.UPDATE, at=datetime.now(UTC), new_id=uuid4)
    properties = {"flow": "credit", "answer-location": "https://x/?sig=TOPSECRET"}
    fields = {"body": write(event, Form.MSBIN1), "content_type": "application/msbin1", "reply_to": REPLIES}
    await bury(
        house.client, REQUESTS, {"message_id": "a", "application_properties": properties, **fields}, {"message_id": "7"}
    )
    facts = told((await command("dead-letters", "show", "1", "--json")).out)
    assert (facts["message_id"], facts["reason"], facts["flow"]) == ("a", "FlowUnavailable", "credit")
    assert (facts["reply_to"], facts["dead_letter_source"]) == (REPLIES, REQUESTS)
    assert facts["context"]["messageName"] == "Update"
    assert facts["properties"] == {"flow": "credit", "answer-location": "https://x/?sig=***"}
    by_id = await command("dead-letters", "show", "a")
    assert "description: unavailable, 4 attempts: nobody answered" in by_id.out.decode()
    assert '"messageName": "Update"' in by_id.out.decode()
    assert "TOPSECRET" not in by_id.out.decode()
    assert (await command("dead-letters", "show", "a", "--raw")).out == fields["body"]
    assert 'body:\n{"n":1}\n' in (await command("dead-letters", "show", "7")).out.decode(), "an id may be a number"
    missing = await command("dead-letters", "show", "nope")
    assert missing.status == 1
    assert missing.err == (
        "flowbridge: There is no dead letter 'nope' of queue 'flow-requests'. See 'flowbridge dead-letters list'.\n"
    )


async def test_a_replay_takes_what_surely_did_not_run_and_the_rest_when_told(
    house: House, command: RunCommand, tmp_path: Path
) -> None:
    await bury_some(house)
    journal = tmp_path / "flowbridge-replay-flow-requests.jsonl"
    dry = await command("dead-letters", "replay", "--dry-run")
    assert dry.status == 0
    assert "1 dead letter skipped, because a run of a flow that isn't idempotent may have begun" in dry.out.decode()
    assert "would replay 4 of 5 dead letters of queue 'flow-requests' to queue 'flow-requests'" in dry.out.decode()
    assert house.broker.facts.messages(REQUESTS) == []
    assert steps_of(journal) == {}
    ran = await command("dead-letters", "replay", "--json", "--to-flow", "credit", "--reason", "FlowUnavailable")
    facts = told(ran.out)
    assert (ran.status, facts["replayed"], facts["completed"], facts["skipped"]["may_have_run"]) == (0, 2, 2, 0)
    assert facts["routed_elsewhere"] == {"billing": 1}
    assert list(steps_of(journal).values()) == [Step.COMPLETED] * 2
    even = await command("dead-letters", "replay", "--even-if-it-ran")
    assert even.status == 0
    assert even.out.decode().startswith(
        "replayed 3 of 3 dead letters of queue 'flow-requests' to queue 'flow-requests'"
    )
    assert len(house.broker.facts.messages(REQUESTS)) == 5
    assert house.broker.facts.messages(DEAD_LETTERS) == []


async def test_the_worker_answers_what_was_replayed_under_the_first_id(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = {"reply_to": REPLIES, "reply_to_session_id": "mine", "correlation_id": "conversation"}
    await bury(house.client, REQUESTS, {"message_id": "first", "reason": "Unroutable", **address})
    monkeypatch.delenv("FLOWBRIDGE_FLOWS")
    monkeypatch.delenv("FLOWBRIDGE_ROUTES")
    assert (await command("dead-letters", "replay")).status == 0
    async with house.worker() as worker:
        reply = await house.reply("mine")
        assert (await worker.ended_as("first")).outcome == "answered"
    assert reply.application_properties is not None
    assert reply.application_properties[b"request-id"] == b"first"
    [call] = house.flow.calls
    assert call.headers["idempotency-key"] == "first"


async def test_a_purge_asks_first_and_throws_away_what_was_chosen(house: House, command: RunCommand) -> None:
    await bury_some(house)
    asked = await command("dead-letters", "purge", "--reason", "Expired")
    assert (asked.status, len(house.broker.facts.messages(DEAD_LETTERS))) == (1, 5)
    assert "Throw 1 dead letter of queue 'flow-requests' away, for good?" in asked.err
    assert "say --yes" in asked.err
    ran = await command("dead-letters", "purge", "--reason", "Expired", "--yes")
    assert (ran.status, ran.out.decode()) == (0, "purged 1 of 1 dead letter of queue 'flow-requests'\n")
    assert [each.message.message_id for each in house.broker.facts.messages(DEAD_LETTERS)] == ["a", "b", "d", "e"]


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "told"),
    [
        ("replay --queue FLOW-REPLIES", {}, 1, "is a reply queue: what lies there are answers"),
        ("list --queue x --retry-queue", {}, 2, "expected --queue or --retry-queue, got both"),
        ("list --retry-queue", {}, 1, "name no retry queue"),
        ("replay --rate 0", {}, 2, "expected a positive number"),
        ("replay --to-flow nope", {}, 2, "there is no flow 'nope'; there are: credit, billing"),
        (
            "replay",
            {"REQUEST_TOPIC": "events", "REQUEST_SUBSCRIPTION": "bridge"},
            1,
            "where other subscriptions would get the copies, too",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(  # noqa: PLR0917 - what pytest gives it
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    environment: dict[str, str],
    status: int,
    told: str,
) -> None:
    bus = {
        "CONNECTION_STRING": "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
        **environment,
    }
    for name, value in bus.items():
        monkeypatch.setenv(f"FLOWBRIDGE_SERVICEBUS__{name}", value)
    monkeypatch.setenv("FLOWBRIDGE_WORKER__REDELIVERY_S", "[]")
    assert main(["dead-letters", *arguments.split()]) == status
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["list", "show", "replay", "purge"])
def test_every_command_helps_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", name, "--help"]) == 0
    assert f"flowbridge dead-letters {name}" in capsys.readouterr().out


def test_alone_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters"]) == 0
    assert "Throw them away." in capsys.readouterr().out


def test_a_journal_is_for_one_replay_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"step":"sent","copy_id":"a"}\n{"step":"se')
    with JournalFile(path) as journal:
        with pytest.raises(CommandFailed, match="Another replay"), JournalFile(path):
            pass
        journal.write(Step.SENDING, [copy_of(delivery_of())])
    assert steps_of(path) == {"a": Step.SENT, copy_of(delivery_of()).message_id: Step.SENDING}
    assert steps_of(tmp_path / "none.jsonl") == {}


async def start(house: House, *arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "worker", "dead-letters", "replay", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)


def kill_once(pid: int, is_time: Callable[[], object], killed: list[int]) -> None:
    """Before the process hears of what has just happened at the broker."""
    if not killed and is_time():
        killed.append(pid)
        os.kill(pid, signal.SIGKILL)


async def test_a_replay_that_is_killed_twice_sends_every_dead_letter_exactly_once(
    monkeypatch: pytest.MonkeyPatch, command: RunCommand
) -> None:
    """Without duplicate detection: first just when the broker has taken a batch, then amid the completions."""
    async with open_house(duplicate_window_s=None) as house:
        monkeypatch.setenv("FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING", house.broker.connection_string)
        flow = {"application_properties": {"flow": "credit"}}
        await bury(
            house.client, REQUESTS, *({"message_id": f"m-{number}", **flow} for number in range(200)), receivers=4
        )
        facts = house.broker.facts
        connections = facts.connections
        for is_time in (lambda: facts.messages(REQUESTS), lambda: len(facts.messages(DEAD_LETTERS)) < 180):
            process = await start(house)

            with facts.watched(partial(kill_once, process.pid, is_time, [])):
                assert await process.wait() == -signal.SIGKILL
            assert facts.messages(DEAD_LETTERS)
            await house.broker.until(lambda facts: facts.connections <= connections)
            house.broker.faults.lose_locks(DEAD_LETTERS)  # as their end would be, a minute later
        ran = await command("dead-letters", "replay", "--json")
        assert (ran.status, told(ran.out)["left"]) == (0, 0)
        sent = Counter(each.message.message_id for each in facts.messages(REQUESTS))
        assert (len(sent), set(sent.values())) == (200, {1})
        assert facts.messages(DEAD_LETTERS) == []


async def test_ctrl_c_ends_a_replay_with_what_was_done(house: House) -> None:
    flow = {"application_properties": {"flow": "credit"}}
    await bury(house.client, REQUESTS, *({"message_id": f"m-{number}", **flow} for number in range(50)))
    process = await start(house, "--rate", "10")
    await house.broker.until(lambda facts: len(facts.messages(REQUESTS)) > 1, timeout_s=20)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    sent = len(house.broker.facts.messages(REQUESTS))
    assert out.decode().startswith(f"interrupted: replayed {sent} of 50 dead letters")
    assert "the same command goes on from here" in out.decode()
    assert len(house.broker.facts.messages(DEAD_LETTERS)) == 50 - sent
    assert house.broker.facts.counts(DEAD_LETTERS).locked == 0
