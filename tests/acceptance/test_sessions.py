"""A request queue with sessions: order within each, many at once; nothing lost or called twice where one is lost."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from support.house import DEAD_LETTERS, REQUESTS, House, body_of, open_house, property_of
from support.processes import worker_process

from worker.bridge import session_work
from worker.core.outcome import Outcome
from worker.core.settlement import Settled
from worker.emulator.standins import Answer, Hang, PlatformError, Recorded

ORDERED: Mapping[str, Any] = {"request_sessions": True, "lock_s": 5}


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    async with open_house(lock_s=5.0, request_sessions=True) as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield house


def numbers_called(house: House) -> dict[str, list[int]]:
    called: dict[str, list[int]] = defaultdict(list)
    for call in house.flow.calls:
        body = json.loads(call.body)
        called[body["session"]].append(body["n"])
    return called


async def send_numbered(house: House, sessions: list[str], count: int) -> None:
    for number in range(count):
        for session in sessions:
            await house.send(json.dumps({"session": session, "n": number}).encode(), session_id=session)


async def test_each_session_is_worked_on_in_order_and_several_at_once(house: House) -> None:
    house.flow.script("flow", Answer(after_s=0.05))
    sessions = ["a", "b", "c", "d"]
    await send_numbered(house, sessions, 5)
    async with house.worker(servicebus=ORDERED):
        await house.request_queue_empty()
    assert numbers_called(house) == {session: [0, 1, 2, 3, 4] for session in sessions}
    assert house.flow.peak_in_flight("flow") > 1


async def test_a_caller_in_a_session_gets_its_own_answer(house: House) -> None:
    async with house.worker(servicebus=ORDERED) as worker:
        request_id = await house.ask(b'{"n":7}', session="caller-1", session_id="ordered")
        reply = await house.reply("caller-1")
        await worker.ended_as(request_id)
    assert (reply.correlation_id, property_of(reply, "outcome"), body_of(reply)) == (request_id, "answered", b'{"n":7}')


async def test_more_sessions_than_slots_take_turns_and_none_starves(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_work, "_TURN_S", 0.1)
    house.flow.script("flow", Answer(after_s=0.06))
    sessions = ["a", "b", "c"]
    await send_numbered(house, sessions, 6)
    async with house.worker(servicebus=ORDERED, worker={"concurrency": 1}):
        await house.request_queue_empty(within_s=40)
    called = [json.loads(call.body)["session"] for call in house.flow.calls]
    assert numbers_called(house) == {session: list(range(6)) for session in sessions}
    assert set(called[:9]) == set(sessions), "no session waits for another's end"


async def test_an_idle_session_is_handed_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_work, "_IDLE_S", 0.2)
    async with house.worker(servicebus=ORDERED) as worker:
        await worker.ended_as(await house.send(session_id="a"))
        async with house.client.get_queue_receiver(REQUESTS, session_id="a", max_wait_time=10) as other:
            assert await other.session.get_state() is None, "no note stays behind"


async def test_a_failed_request_is_tried_again_before_its_session_goes_on(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"), Answer())
    await send_numbered(house, ["a"], 2)
    async with house.worker({"retry": {"attempts": 1}}, servicebus=ORDERED, worker={"redelivery_s": [0.2]}):
        await house.request_queue_empty()
    assert numbers_called(house) == {"a": [0, 0, 1]}
    first, second, _ = house.flow.calls
    assert second.at - first.at >= 0.15
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_what_stays_unavailable_is_dead_lettered_and_its_session_goes_on(house: House) -> None:
    busy = PlatformError(status=503, code="ServiceBusy")
    house.flow.script("flow", busy, busy, busy, Answer())
    await send_numbered(house, ["a"], 2)
    async with house.worker({"retry": {"attempts": 1}}, servicebus=ORDERED, worker={"redelivery_s": [0.05, 0.05]}):
        await house.request_queue_empty()
    assert numbers_called(house) == {"a": [0, 0, 0, 1]}
    [dead] = house.broker.facts.messages(DEAD_LETTERS)
    assert dead.added_properties["DeadLetterReason"] == "FlowUnavailable"
    assert "all 3 tries are spent" in str(dead.added_properties["DeadLetterErrorDescription"])


async def test_a_malformed_request_does_not_hold_up_its_session(house: House) -> None:
    async with house.worker(servicebus=ORDERED):
        wrong = await house.send(session_id="a", application_properties={"timeout-s": "soon"})
        await house.send(b'{"session":"a","n":1}', session_id="a")
        await house.dead_letter(wrong)
        await house.request_queue_empty()
    assert numbers_called(house) == {"a": [1]}


async def test_a_lost_session_cuts_the_call_which_is_not_made_again(house: House) -> None:
    house.flow.script("flow", Hang(), Answer())
    async with house.worker(servicebus=ORDERED, worker={"concurrency": 1}) as worker:
        request_id = await house.ask(session="caller-1", session_id="a")
        await house.flow.calls.until(1)
        house.broker.faults.lose_session_lock(REQUESTS, "a")
        lost, again = await worker.ended.until(2, where=lambda each: each.request_id == request_id)
        reply = await house.reply("caller-1")
    assert (lost.outcome, lost.settlement) == (None, "LeaveLocked")
    assert property_of(reply, "outcome") == "indeterminate"
    assert again.is_recalled
    assert len(house.flow.calls) == 1


async def test_a_lost_session_that_another_lane_takes_is_answered_once(house: House) -> None:
    house.flow.script("flow", Answer(after_s=2.0), Answer())
    async with house.worker(servicebus=ORDERED, worker={"concurrency": 2}) as worker:
        request_id = await house.ask(session="caller-1", session_id="a")
        await house.flow.calls.until(1)
        house.broker.faults.lose_session_lock(REQUESTS, "a")
        await worker.ended.until(2, where=lambda each: each.request_id == request_id)
        await house.request_queue_empty()
    assert len(house.replies_in("caller-1")) == 1
    assert len(house.flow.calls) == 1


async def test_a_lock_on_a_session_is_renewed_for_as_long_as_its_request_takes(house: House) -> None:
    house.flow.script("flow", Answer(after_s=7.0))
    async with house.worker(servicebus=ORDERED) as worker:
        ended = await worker.ended_as(await house.send(session_id="a"))
    assert ended.outcome is Outcome.ANSWERED
    assert ended.settled is Settled.DONE
    assert ended.delivery_count == 0


async def test_a_renewal_that_is_refused_once_loses_no_session(house: House) -> None:
    house.flow.script("flow", Answer(after_s=7.0))
    async with house.worker(servicebus=ORDERED) as worker:
        await send_numbered(house, ["a"], 2)
        await house.flow.calls.until(1)
        house.broker.faults.refuse_management(REQUESTS, times=1)
        await worker.ended.until(2, within_s=25)
    assert numbers_called(house) == {"a": [0, 1]}
    assert house.flow.peak_in_flight("flow") == 1
    assert [each.delivery_count for each in worker.ended] == [0, 0]


async def test_a_stop_finishes_the_call_and_leaves_the_rest_of_the_session_untouched(house: House) -> None:
    house.flow.script("flow", Answer(after_s=0.5))
    await send_numbered(house, ["a"], 3)
    async with house.worker(servicebus=ORDERED) as worker:
        await house.flow.calls.until(1)
        worker.stop.request()
        assert await worker.draining
    assert numbers_called(house) == {"a": [0]}
    assert [each.delivery_count for each in house.broker.facts.messages(REQUESTS)] == [0, 0]


@pytest.mark.parametrize(("after_crash", "calls"), [("indeterminate", 1), ("call", 2)])
async def test_a_worker_killed_in_a_call_leaves_word_of_it_in_the_session(
    house: House, after_crash: str, calls: int
) -> None:
    """The broker counts no delivery where a session's connection is lost, so only the session's state can tell."""
    house.flow.script("flow", Hang(), Answer())
    log: Recorded[dict[str, object]] = Recorded()
    sessions = {"FLOWBRIDGE_SERVICEBUS__REQUEST_SESSIONS": "true"}
    async with worker_process(house, environment=sessions) as first:
        await house.ask(session="caller-1", session_id="a")
        await house.flow.calls.until(1)
        first.kill()
        await first.wait()
    async with worker_process(house, log, environment=sessions, after_crash=after_crash):
        reply = await house.reply("caller-1", within_s=20)
    assert property_of(reply, "outcome") == ("answered" if calls == 2 else "indeterminate")
    assert len(house.flow.calls) == calls
    assert not [line for line in log if line["level"] in {"error", "critical"}]
