"""A seat and what may sit on it: small programs in the place of the worker."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
import structlog
import uvloop

from worker.core.restarts import FIRST_S, LONGEST_S
from worker.settings import load
from worker.stop import Stop
from worker.supervisor import seat as module
from worker.supervisor.brief import Brief
from worker.supervisor.documents import ProcessFacts
from worker.supervisor.seat import Seat

SETTINGS = load(
    None,
    {
        "FLOWBRIDGE_SERVICEBUS__NAMESPACE": "contoso.servicebus.windows.net",
        "FLOWBRIDGE_FLOWS__0__URL": "https://flows.example.com/run",
        "FLOWBRIDGE_WORKER__DRAIN_S": "0.05",
    },
)
Until: TypeAlias = Callable[[Callable[[ProcessFacts], bool]], Awaitable[ProcessFacts]]


@asynccontextmanager
async def taken(*command: str) -> AsyncIterator[tuple[Until, Stop, asyncio.Task[bool]]]:
    """By `command`, until the block stops it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_command", lambda: list(command))
        stop = Stop()
        seat = Seat(Brief(process=0, settings=SETTINGS, log_level="info"), stop)

        async def until(is_so: Callable[[ProcessFacts], bool]) -> ProcessFacts:
            async with asyncio.timeout(5):
                while not is_so(seat.facts):  # noqa: ASYNC110 - seen from outside
                    await asyncio.sleep(0.01)
            return seat.facts

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(seat.run())
            yield until, stop, running
            stop.request()


async def test_what_ends_at_once_waits_for_its_next_start() -> None:
    async with taken("sh", "-c", "exit 1") as (until, _, running):
        facts = await until(lambda facts: facts.starts_in_s is not None)
        assert facts.starts_in_s is not None
        assert facts.starts_in_s <= FIRST_S
        assert (facts.pid, facts.status, facts.restarts) == (None, None, 0)
        await until(lambda facts: facts.restarts >= 1 and facts.starts_in_s is not None)
    assert await running, "nothing was in hand"


async def test_what_refuses_its_settings_is_told_and_not_tried_in_a_hurry() -> None:
    with structlog.testing.capture_logs() as log:
        async with taken("sh", "-c", "exit 2") as (until, _, _):
            facts = await until(lambda facts: facts.starts_in_s is not None)
            assert facts.starts_in_s is not None
            assert facts.starts_in_s > 0.4 * LONGEST_S
    assert [line["event"] for line in log] == ["process_started", "process_ended", "process_refused"]
    assert "restart the worker" in log[-1]["failure"]


async def test_what_cannot_be_started_is_tried_again() -> None:
    with structlog.testing.capture_logs() as log:
        async with taken("/no/such/program") as (until, _, _):
            await until(lambda facts: facts.starts_in_s is not None)
    assert log[0] == {
        "event": "process_not_started",
        "log_level": "error",
        "process": 0,
        "failure": "No such file or directory",
    }


async def test_what_does_not_end_in_time_is_killed_and_no_clean_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSING_S", 0.05)
    deaf = """trap '' TERM INT; echo 'status {"ready": true}' >&0; exec sleep 60"""
    async with taken("sh", "-c", deaf) as (until, stop, running):
        facts = await until(lambda facts: facts.status is not None)
        assert facts.status == {"ready": True}
        stop.hurry()
        assert not await running


def test_what_is_steered_while_a_child_ends_is_kept_for_the_next() -> None:
    """On the worker's own loop, whose transports raise once they are closed."""

    async def steered() -> set[str]:
        seat = Seat(Brief(process=0, settings=SETTINGS, log_level="info"), Stop())
        ours, theirs = socket.socketpair()
        _, seat._line = await asyncio.open_unix_connection(sock=ours)
        theirs.close()
        seat._line.close()
        await seat._line.wait_closed()
        seat.steer("a", is_isolated=True)
        return seat._isolated

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(steered()) == {"a"}
