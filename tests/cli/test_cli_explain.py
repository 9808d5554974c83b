"""The stories of requests, from what a real worker logged about them."""

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
from aiohttp import ClientSession
from support import house as houses
from support.house import REPLIES, REQUESTS, House, RunningWorker
from support.loggers import reset_loggers

from worker import app, logs
from worker.bridge import process
from worker.bridge.observed import Observed
from worker.cli.main import main
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Outcome, Rejected
from worker.core.recent import FAILURES_KEPT
from worker.core.request import Request
from worker.core.route import flow_for
from worker.core.settlement import Settled
from worker.emulator.standins import Accept, Answer, Echo, Hang, PlatformError
from worker.request_log import log_observed
from worker.settings import Settings

from .conftest import Ran

BUSY = PlatformError(status=503, code="ServiceBusy")
FLOWS = (
    {"name": "plain"},
    {"name": "busy", "retry": {"first_s": 0.01}},
    {"name": "safe", "idempotent": True, "retry": {"first_s": 0.01}},
    {"name": "shut", "retry": {"attempts": 1}, "breaker": {"min_calls": 1, "open_s": 60}},
    {"name": "strict"},
    {"name": "mended", "retry": {"attempts": 1}},
    {"name": "tripped", "retry": {"first_s": 0.01}, "breaker": {"min_calls": 1, "open_s": 60}},
    {"name": "flaky", "retry": {"attempts": 1}},
    {"name": "slow"},
    {"name": "deaf"},
    {"name": "broken"},
)

Explain: TypeAlias = Callable[..., Ran]


@dataclass(slots=True, kw_only=True)
class Lived:
    """What a worker logged, the ids of the requests that it had, by what became of them, and the errors of `tripped`
    that its status shows.
    """

    log: Path
    ids: dict[str, str] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    elapsed_ms: object = None  # that the reply says which a copy fetched


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    lived = Lived(log=tmp_path_factory.mktemp("explain") / "worker.log")
    with lived.log.open("w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patched:
        patched.setattr(houses, "assembled", _assembled_with_log)
        patched.setattr(process, "flow_for", _flow_but_for_one)
        stderr, sys.stderr = sys.stderr, stream
        try:
            logs.configure("info", json=True)
        finally:
            sys.stderr = stderr
        asyncio.run(_live(lived, patched))
        reset_loggers()
    return lived


@asynccontextmanager
async def _assembled_with_log(
    settings: Settings, *, observe: Callable[[Observed], None]
) -> AsyncIterator[app.ServedWorker]:
    def log_and_observe(observed: Observed) -> None:
        log_observed(observed)
        observe(observed)

    async with app.assembled(settings, observe=log_and_observe) as worker:
        yield worker


def _flow_but_for_one(request: Request, *others: Any) -> FlowSpec | Rejected:
    if request.flow_name == "broken":
        raise ZeroDivisionError("planted by a test")
    return flow_for(request, *others)


async def _live(lived: Lived, patched: pytest.MonkeyPatch) -> None:
    async with houses.open_house(lock_s=5.0) as house:
        patched.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        house.flow.script("busy", BUSY, Answer())
        house.flow.script("safe", PlatformError.gateway_timeout(), Answer())
        house.flow.script("shut", BUSY)
        house.flow.script("strict", Answer(status=422, body=b"no"))
        house.flow.script("mended", Answer(status=422, body=b"no"), BUSY, Answer())
        house.flow.script("tripped", BUSY)
        house.flow.script("flaky", BUSY, BUSY, Answer())
        house.flow.script("slow", Accept(polls=0, retry_after="0"))
        house.flow.script("deaf", Hang())
        house.flow.script("plain", Echo(after_s=0.05))
        lived.ids["expired"] = await house.ask(application_properties={"flow": "plain", "timeout-s": 0.02})
        async with house.worker(*FLOWS, servicebus={"lock_s": 5}, worker={"redelivery_s": [0.05, 0.05]}) as worker:
            await _have_them_side_by_side(house, worker, lived.ids)
            await _have_one_after_the_other(house, worker, lived.ids)
            await _have_one_replayed(house, worker, lived.ids)
            lived.errors += await _have_a_backlog_behind_an_open_circuit(house, worker, lived.ids)
            (reply,) = house.replies_in(lived.ids["slow"])
            lived.elapsed_ms = reply.message.application_properties["elapsed-ms"]


async def _have_them_side_by_side(house: House, worker: RunningWorker, ids: dict[str, str]) -> None:
    for name in ("deaf", "broken", "plain", "busy", "safe", "shut", "slow"):
        properties = {"flow": name, "timeout-s": 60}
        ids[name] = await house.ask(application_properties=properties, correlation_id=f"conversation of {name}")
    for name in ("strict", "flaky"):
        ids[name] = await house.send(application_properties={"flow": name})
    ids["rejected"] = await house.ask(application_properties={"timeout-s": "soon"})
    await house.flow.calls.until(1, where=lambda each: each.workflow == "deaf")
    house.broker.faults.lose_locks(REQUESTS, message_id=ids["deaf"])
    await worker.ended_as(ids["shut"])
    ids["shed"] = await house.ask(application_properties={"flow": "shut", "timeout-s": 20})
    for name in ("expired", "plain", "busy", "safe", "shed", "strict", "rejected", "broken", "deaf"):
        await worker.ended_as(ids[name])
    for name in ("flaky", "slow"):
        await _ended_answered(worker, ids[name])


async def _have_one_after_the_other(house: House, worker: RunningWorker, ids: dict[str, str]) -> None:
    house.broker.faults.delay_dispositions(REQUESTS, delay_s=0.3, times=1)
    ids["recalled"] = asked = await house.ask(application_properties={"flow": "plain"})
    await house.broker.until(lambda _: len(house.replies_in(asked)) == 1)
    house.broker.faults.lose_locks(REQUESTS, message_id=asked)
    await worker.ended.until(1, where=lambda each: each.request_id == asked and each.is_recalled)
    house.broker.faults.refuse_sends(REPLIES, condition="amqp:not-allowed")
    ids["undeliverable"] = await house.ask(application_properties={"flow": "plain"})
    await worker.ended_as(ids["undeliverable"])


async def _have_one_replayed(house: House, worker: RunningWorker, ids: dict[str, str]) -> None:
    ids["mended"] = await house.send(application_properties={"flow": "mended"})
    await worker.ended_as(ids["mended"])
    await house.send(application_properties={"flow": "mended", "request-id": ids["mended"]})
    await _ended_answered(worker, ids["mended"])


async def _have_a_backlog_behind_an_open_circuit(
    house: House, worker: RunningWorker, ids: dict[str, str]
) -> list[dict[str, Any]]:
    ids["tripped"] = await house.send(application_properties={"flow": "tripped"})
    await worker.ended_as(ids["tripped"])
    for _ in range(FAILURES_KEPT):
        await worker.ended_as(await house.send(application_properties={"flow": "tripped"}))
    await worker.ended_as(await house.ask(application_properties={"flow": "tripped", "timeout-s": 20}))
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{worker.http_port}/status") as response:
        (errors,) = (flow["errors"] for flow in (await response.json())["flows"] if flow["name"] == "tripped")
    return cast("list[dict[str, Any]]", errors)


async def _ended_answered(worker: RunningWorker, request_id: str) -> None:
    await worker.ended.until(
        1,
        where=lambda each: (
            (each.request_id, each.outcome, each.settled) == (request_id, Outcome.ANSWERED, Settled.DONE)
        ),
    )


@pytest.fixture
def explain(capfdbinary: pytest.CaptureFixture[bytes]) -> Explain:
    def run(*arguments: str) -> Ran:
        capfdbinary.readouterr()
        status = main(("explain", *arguments))
        said = capfdbinary.readouterr()
        return Ran(status=status, out=said.out, err=said.err.decode())

    return run


@pytest.fixture
def told(lived: Lived, explain: Explain) -> Callable[[str], str]:
    """The story of one of the requests."""

    def tell(name: str) -> str:
        ran = explain(lived.ids[name], "--log", str(lived.log))
        as_json = explain(lived.ids[name], "--log", str(lived.log), "--json")
        assert (ran.status, ran.err, as_json.status) == (0, "", 0)
        (request,) = json.loads(as_json.out)["requests"]
        text = ran.out.decode()
        for sentence in [request["headline"], request["to_do"], *request["why"]]:
            assert sentence in text
        return text

    return tell


Tell: TypeAlias = Callable[[str], str]


def in_order(text: str, *parts: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        assert at >= 0, f"{part!r} is missing, or not in its place, in:\n{text}"
    return True


def test_answered_at_once(lived: Lived, told: Tell) -> None:
    story = told("plain")
    assert story.startswith(f"Request {lived.ids['plain']} for flow plain: answered after ")
    assert in_order(story, "HTTP 200, run 0858", "before its deadline", "queued", "taken after", "the flow was called")
    assert in_order(story, 'the reply "answered" on flow-replies', "completed", "What to do: nothing.")
    assert "Why:" not in story


def test_retried_because_the_flow_surely_did_not_run(told: Tell) -> None:
    story = told("busy")
    assert in_order(story, "attempt 1: HTTP 503 after", "ServiceBusy", "because the flow surely did not run")
    assert in_order(story, "attempt 2: HTTP 200", "Why: The flow was called twice, because once it failed: ")


def test_retried_although_it_may_have_run_because_the_flow_is_idempotent(told: Tell) -> None:
    assert in_order(told("safe"), "attempt 1: HTTP 504", "because the flow may be called twice (idempotent)")


def test_shed_by_an_open_circuit(told: Tell) -> None:
    assert "(the circuit of shut opened for 1 min)" in told("shut")
    story = told("shed")
    assert "not run, and its caller told so (unavailable)" in story
    assert in_order(story, "(the circuit of shut opened for 1 min)", "queued", "Why: The circuit of flow shut is open")
    assert "The circuit closes by itself when the flow answers" in story


def test_expired(told: Tell) -> None:
    story = told("expired")
    assert "out of time before the flow was called, and its caller told so (expired)" in story
    assert "after its deadline" in story


def test_a_refused_one_way_request_that_is_dead_lettered(lived: Lived, told: Tell) -> None:
    story = told("strict")
    assert in_order(story, "dead-lettered as FlowRefused after", "HTTP 422, run 0858")
    assert in_order(story, "Why: The dead letter says: refused, HTTP 422", "What to do:", "at run 0858")
    assert f"flowbridge dead-letters replay --message-id {lived.ids['strict']} --even-if-it-ran" in story


def test_moved_copies_and_then_answered(told: Tell) -> None:
    story = told("flaky")
    assert "one-way and done after" in story
    assert story.count("a copy for the next try went onto the queue, due in 50 ms") == 2
    assert in_order(story, "queued", "its copy came up", "its copy came up", "the flow was called: HTTP 200")
    assert "It was put off twice for a further try (redelivery_s), because this one failed: " in story


def test_an_answer_that_a_copy_fetches(told: Tell) -> None:
    story = told("slow")
    assert in_order(story, "attempt 1: HTTP 202", "a copy on the queue, due in", "is to fetch its answer", "completed")


def test_a_caller_of_a_run_that_a_copy_fetched_waited_since_the_first_enqueueing(lived: Lived, told: Tell) -> None:
    told("slow")
    lines = [json.loads(line) for line in lived.log.read_text(encoding="utf-8").splitlines()]
    moved, fetched = [line for line in lines if line.get("request_id") == lived.ids["slow"] and "settlement" in line]
    assert "earlier_s" not in moved
    assert fetched["is_fetch"]
    assert fetched["earlier_s"] >= moved["queue_wait_s"] + moved["call_s"] - 0.01
    assert fetched["elapsed_s"] >= fetched["reply_s"] > fetched["earlier_s"]
    assert fetched["reply_s"] * 1000 == pytest.approx(lived.elapsed_ms, abs=500)
    assert fetched["queue_wait_s"] < fetched["earlier_s"]


def test_a_replay_is_named_and_calls_are_counted_over_all_and_the_time_as_a_dead_letter_is_not(told: Tell) -> None:
    story = told("mended")
    assert in_order(story, "queued", "dead-lettered as FlowRefused", "sent again by a replay", "its copy came up")
    assert "It was sent again once by a replay." in story
    assert "For all its deliveries together the flow was called 3 times." in story


def test_a_try_that_trips_the_circuit_is_told_by_what_the_flow_said(lived: Lived, told: Tell) -> None:
    story = told("tripped")
    assert in_order(story, "attempt 1: HTTP 503", "a copy for the next try went onto the queue", "this delivery")
    assert "because this one failed: The platform answered with HTTP 503 ServiceBusy" in story
    assert "It was not called again: its circuit is open." in story
    assert [(error["http_status"], error["request_id"]) for error in lived.errors] == [(503, lived.ids["tripped"])]


def test_rejected(told: Tell) -> None:
    story = told("rejected")
    assert in_order(story, "rejected as wrong, and its caller told so", "dead-lettered as Malformed")
    assert in_order(story, "Why:", "timeout-s", "What to do: Its sender has to mend it")


def test_settled_too_late_and_recalled(told: Tell) -> None:
    story = told("recalled")
    assert in_order(story, "answered after", "the reply", "taken again: the 2nd delivery of this message")
    assert "still in this worker's memory" in story
    assert "Its lock was lost while it was worked on" in story


def test_a_lock_that_was_lost_during_the_call(told: Tell) -> None:
    story = told("deaf")
    assert in_order(story, "the lock on it was lost", "not settled, because its lock had gone")
    assert in_order(story, "taken again", 'the reply "indeterminate"', "completed", "Why: Its lock was lost")
    assert in_order(story, "What to do: It may have run: look for the run with client tracking id")


def test_a_defect(told: Tell) -> None:
    story = told("broken")
    assert in_order(story, "a defect of the bridge: ZeroDivisionError: planted by a test", "given back to the queue")
    assert "What to do: Report the defect with its traceback" in story


def test_a_reply_that_can_not_be_delivered(lived: Lived, told: Tell) -> None:
    story = told("undeliverable")
    assert in_order(
        story,
        "dead-lettered as ReplyUndeliverable after",
        "the undelivered answer was: answered",
        "What to do: Mend the way to the reply queue",
    )
    assert f"--message-id {lived.ids['undeliverable']} --even-if-it-ran" in story


def test_a_log_that_is_packed_and_one_on_stdin_tell_the_same(
    lived: Lived, explain: Explain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id, packed, cut = lived.ids["plain"], tmp_path / "worker.log.1.gz", tmp_path / "cut.gz"
    packed.write_bytes(gzip.compress(lived.log.read_bytes()))
    cut.write_bytes(packed.read_bytes()[:-20])
    plain = explain(request_id, "--log", str(lived.log))
    for given in (lived.log, packed):
        with given.open("rb") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            assert explain(request_id).out == plain.out
    both = explain("conversation of plain", "--log", str(packed), "--log", str(lived.log))
    assert b"(Found by its correlation id.)" in both.out
    assert both.out.count(b"completed") == 1
    assert b"taken after" in both.out, "a file is no worker"
    assert b"in the queue (in worker.log.1.gz)" in both.out
    broken = explain(request_id, "--log", str(cut), "--log", str(lived.log))
    assert (broken.status, "ends within its compressed data" in broken.err) == (0, True)


def test_secrets_that_a_log_holds_all_the_same_are_not_printed(explain: Explain, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    told = {"event": "lock_not_renewed", "timestamp": "2026-11-26T10:31:03Z", "request_id": "r-1"}
    log.write_text(json.dumps({**told, "why": "https://h/?sig=aB3+xyz%3D refused\x1b[2J"}), encoding="utf-8")
    for more in ([], ["--json"]):
        ran = explain("r-1", "--log", str(log), *more)
        assert ran.status == 0
        assert b"refused" in ran.out
        assert b"aB3" not in ran.out
        assert b"\x1b" not in ran.out


LOGS: dict[str, tuple[bytes, str]] = {
    "of other requests": (
        b'{"event":"worker_started","timestamp":"2026-11-26T10:31:03Z"}\n',
        "at a log level above info",
    ),
    "of no worker": (b"some program said something\n", "There is no event of a worker in 1 lines"),
    "empty": (b"", "There is no event of a worker in 0 lines"),
    "for a terminal": (b"\x1b[2m2026-11-26\x1b[0m request_ended request_id=r-1\n", "Log JSON"),
    "torn": (b'{"event":"request_ended","request_id":"r-1","timest', "in none that is a whole event"),
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_request_that_is_not_found_is_told_with_what_was_searched(
    kind: str, explain: Explain, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    log.write_bytes(LOGS[kind][0])
    ran = explain("r-1", "--log", str(log))
    assert (ran.status, ran.out) == (1, b"")
    assert LOGS[kind][1] in ran.err
    as_json = explain("r-1", "--log", str(log), "--json")
    assert (as_json.status, json.loads(as_json.out)["requests"]) == (1, [])


@pytest.mark.parametrize("arguments", [["r-1", "--log", "/nowhere/at.all"], ["r-1", "--log", "/"], [""], []])
def test_what_can_not_be_read_is_bad_usage(arguments: list[str], explain: Explain) -> None:
    ran = explain(*arguments)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("flowbridge: ")
