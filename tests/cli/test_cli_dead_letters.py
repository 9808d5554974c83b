"""The command on a broker over real sockets, in this process; where it is to be killed, in one of its own."""

import asyncio
import errno
import json
import os
import signal
import stat
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from core.conftest import delivery_of
from support.burying import bury
from support.house import DEAD_LETTERS, REPLIES, REQUESTS, House, open_house

from worker.cli.dead_letters import purging
from worker.cli.dead_letters.hints import hints
from worker.cli.dead_letters.journal_file import JournalFile, history_of
from worker.cli.dead_letters.replay_asked import Asked
from worker.cli.dead_letters.replay_report import Done, Report
from worker.cli.dead_letters.source import Seen
from worker.cli.dead_letters.words import table
from worker.cli.failure import CommandFailed
from worker.cli.main import main
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import Sample, sample
from worker.core.dead_letters.copying import copy_of
from worker.core.dead_letters.journal import Mark, Step
from worker.core.dead_letters.letter import FlowsSpec, letter_of
from worker.core.dead_letters.selection import Plan, Selection
from worker.servicebus.connect import QueueSource

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
        *("dead-letters", "list", "--json", "--rows", "--flow", "billing"),
        *("--reason", "flowindeterminate", "--reason", "FlowRefusd"),
    )
    assert "FlowRefusd: neither the worker nor the broker gives this reason; did you mean FlowRefused?" in ran.err
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


def full(file: int) -> None:
    if stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_replay_takes_what_surely_did_not_run_and_the_rest_when_told(
    house: House, command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last time with a full disk: the journal is named, and what was done all the same."""
    await bury_some(house)
    journal = tmp_path / "flowbridge-replay-flow-requests.jsonl"
    dry = await command("dead-letters", "replay", "--dry-run")
    assert dry.status == 0
    assert "1 dead letter skipped, because a run of a flow that isn't idempotent may have begun" in dry.out.decode()
    assert "would replay 4 of 5 dead letters of queue 'flow-requests' to queue 'flow-requests'" in dry.out.decode()
    assert house.broker.facts.messages(REQUESTS) == []
    assert not journal.exists()
    ran = await command("dead-letters", "replay", "--json", "--to-flow", "credit", "--reason", "FlowUnavailable")
    facts = told(ran.out)
    assert (ran.status, facts["replayed"], facts["completed"], facts["skipped"]["may_have_run"]) == (0, 2, 2, 0)
    assert facts["routed_elsewhere"] == {"billing": 1}
    assert list(history_of(journal).steps.values()) == [Step.COMPLETED] * 2
    steps = [json.loads(line)["step"] for line in journal.read_bytes().splitlines()]
    assert (steps[0], steps[-1], history_of(journal).unfinished) == (Mark.BEGUN, Mark.DONE, {})
    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        stopped = await command("dead-letters", "replay", "--even-if-it-ran")
    why, summary = stopped.out.decode().splitlines()
    assert stopped.status == 1
    assert f"{journal.name} can't be written: No space left on device. Make room" in why
    assert "replayed 3 of 3 dead letters of queue 'flow-requests' to queue 'flow-requests'" in summary
    assert "3 sent but not completed yet; the same command goes on from here" in summary
    assert len(house.broker.facts.messages(REQUESTS)) == 5
    assert house.broker.facts.counts(DEAD_LETTERS).ready == 3


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
    ours, terminal = os.openpty()
    purge = (sys.executable, "-m", "worker", "dead-letters", "purge", "--reason", "Expired")
    process = await asyncio.create_subprocess_exec(*purge, stdin=terminal, stdout=PIPE, stderr=PIPE)
    os.close(terminal)
    assert process.stderr is not None
    asked = await process.stderr.readuntil(b"[y/N]")
    assert b"Throw 1 dead letter of queue 'flow-requests' away, for good?" in asked
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    os.close(ours)
    assert (process.returncode, err.decode().split("\n")[1:]) == (130, ["Nothing was purged.", ""])
    assert len(house.broker.facts.messages(DEAD_LETTERS)) == 5
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
    said = capsys.readouterr().out
    assert f"flowbridge dead-letters {name}" in said
    assert "{" not in said
    assert "2 wrong options or settings" in " ".join(said.split())


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
    assert history_of(path).steps == {"a": Step.SENT, copy_of(delivery_of()).message_id: Step.SENDING}
    assert history_of(tmp_path / "none.jsonl").steps == {}


@pytest.mark.parametrize("content", [b"[servicebus]\nrequest_queue = 'a'\n", b"\x89PNG\r\n\x1a\n"])
def test_a_journal_is_added_to_no_other_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    for opened in (JournalFile(path).__enter__, partial(history_of, path)):
        with pytest.raises(CommandFailed, match="not the journal of a replay"):
            opened()
    for special in (Path("/dev/zero"), Path("/dev/full"), tmp_path):
        with pytest.raises(CommandFailed, match="no regular file"):
            history_of(special)
        with pytest.raises(CommandFailed, match="no regular file"), JournalFile(special):
            pass
    assert path.read_bytes() == content


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_a_purge_that_is_not_wanted_says_that_nothing_was_purged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with pytest.raises(typer.Exit) as ended:
        purging._ask("Sure?", is_sure=False)
    assert ended.value.exit_code == 130
    assert "Nothing was purged." in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    with pytest.raises(CommandFailed, match="Nobody is there to ask, so nothing was done: say --yes"):
        purging._ask("Sure?", is_sure=False)


def test_a_dry_run_tells_programs_what_it_would_do_and_that_it_did_nothing() -> None:
    letter = letter_of(delivery_of(), FlowsSpec())
    number, source, found = letter.sequence_number, QueueSource(queue=REQUESTS), Seen(letters=[letter])
    asked = Asked(
        selection=Selection(),
        most=None,
        to_flow=None,
        rate_per_s=None,
        even_if_it_ran=False,
        journal=None,
        is_dry_run=True,
        as_json=True,
    )
    plan = Plan(even_if_it_ran=False, chosen={number: letter})
    report = Report(source=source, to=REQUESTS, found=found, plan=plan, done=Done(), journal=Path("j"), asked=asked)
    replay, purge = report.facts(), purging._facts(source, found, purging.Done(), is_dry_run=True)
    assert (replay["dry_run"], replay["would_replay"], replay["would_finish"], replay["replayed"]) == (True, 1, 0, 0)
    assert (purge["dry_run"], purge["would_purge"], purge["purged"]) == (True, 1, 0)
    assert purging._facts(source, found, purging.Done(purged=1), is_dry_run=False)["would_purge"] is None


def test_a_hint_is_given_for_what_is_neither_known_nor_found() -> None:
    own = letter_of(delivery_of(properties={"DeadLetterReason": "PutAside", "flow": "gone"}), FlowsSpec())
    known = ["ttlexpiredexception", "MaxDeliveryCountExceeded", "HeaderSizeExceeded", "expired", "putaside"]
    assert hints(Selection(reasons=known, flows=["gone", "credit"]), [own], ["credit"]) == []
    misspelt = Selection(reasons=["Bogus"], flows=["credits"])
    reason, flow = hints(misspelt, [], ["credit", "billing"])
    assert reason.startswith(
        "--reason Bogus: neither the worker nor the broker gives this reason; known here: Expired,"
    )
    assert flow == "--flow credits: the settings have no such flow; did you mean credit?"
    assert hints(Selection(flows=["any"]), [], []) == []


def test_a_table_fits_a_terminal_by_its_widest_columns() -> None:
    head, row = ("number", "enqueued", "id", "why"), ("7", "2026-01-01T00:00:00Z", "i" * 36, "w" * 60)
    line = table(head, [row], cut=(2, 3), width=80)[1]
    assert len(line) == 80
    assert line.split()[:2] == [*row[:2]]
    assert line.endswith("w…")
    assert table(head, [row])[1].endswith(row[3])
    assert len(table(head, [row], cut=(2, 3), width=1)[1]) == 6 + 2 + 20 + 2 + 6 + 2 + 6


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
