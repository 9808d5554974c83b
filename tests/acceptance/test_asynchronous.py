"""202 with a Location: the run's own answer reaches the caller, and no crash starts a second run."""

import signal
from collections.abc import AsyncIterator

import pytest
from support.house import REQUESTS, House, body_of, open_house, property_of
from support.processes import worker_process

from worker.core.outcome import Outcome
from worker.emulator.standins import Accept, Answer, PlatformError

NEVER_DONE = 1_000_000  # polls


@pytest.fixture
async def brief_house() -> AsyncIterator[House]:
    """Locks of 5 s, so that what a killed worker held comes again soon."""
    async with open_house(lock_s=5.0) as house:
        yield house


async def test_the_runs_own_answer_is_the_callers(house: House) -> None:
    house.flow.script(
        "flow", Accept(polls=2, then=Answer(status=201, body=b"late", content_type="text/x"), retry_after="0")
    )
    async with house.worker() as worker:
        request_id = await house.ask(correlation_id="c-1")
        reply = await house.reply(request_id)
        await house.request_queue_empty()
        await worker.ended.until(2)
    assert (body_of(reply), reply.content_type, reply.correlation_id) == (b"late", "text/x", request_id)
    told = {name: property_of(reply, name) for name in ("outcome", "http-status", "attempts", "request-id")}
    assert told == {"outcome": "answered", "http-status": 201, "attempts": 1, "request-id": request_id}
    assert property_of(reply, "conversation-id") == "c-1"
    assert property_of(reply, "run-id")
    assert len(house.flow.calls) == 1
    assert len(house.flow.polls) == 3
    assert [each.is_copied for each in worker.ended] == [True, False]
    assert {each.request_id for each in worker.ended} == {request_id}


async def test_the_runs_own_refusal_is_the_callers(house: House) -> None:
    house.flow.script("flow", Accept(polls=1, then=Answer(status=422, body=b"no"), retry_after="0"))
    async with house.worker():
        reply = await house.reply(await house.ask())
    assert (property_of(reply, "outcome"), property_of(reply, "http-status"), body_of(reply)) == ("refused", 422, b"no")


async def test_a_one_way_requests_run_is_followed_to_its_end(house: House) -> None:
    house.flow.script("flow", Accept(polls=1, then=Answer(status=422, body=b"no"), retry_after="0"))
    async with house.worker():
        await house.send(message_id="m-1")
        await house.broker.until(lambda facts: facts.counts(REQUESTS).dead_lettered == 1)
    (dead,) = house.broker.facts.messages(f"{REQUESTS}/$DeadLetterQueue")
    assert dead.added_properties["DeadLetterReason"] == "FlowRefused"
    assert dead.message.application_properties["request-id"] == "m-1"


async def test_an_answer_that_does_not_come_in_time_leaves_the_run_in_doubt_and_names_it(house: House) -> None:
    house.flow.script("flow", Accept(polls=NEVER_DONE, retry_after="0"))
    async with house.worker():
        reply = await house.reply(await house.ask(application_properties={"timeout-s": 2}))
    assert property_of(reply, "outcome") == "indeterminate"
    assert property_of(reply, "run-id")
    assert property_of(reply, "http-status") == 202
    assert 1000 <= property_of(reply, "elapsed-ms") <= 2500
    assert len(house.flow.calls) == 1


async def test_no_poll_goes_out_before_the_original_is_completed(house: House) -> None:
    house.flow.script("flow", Accept(polls=0, retry_after="0"))
    async with house.worker():
        await house.ask(message_id="m-1")
        await house.flow.polls.until(1)
        assert "m-1" not in [each.message.message_id for each in house.broker.facts.messages(REQUESTS)]
        await house.request_queue_empty()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("after_crash", ["call", "indeterminate"])
async def test_a_worker_killed_while_polling_leaves_the_answer_to_another_and_no_second_run_is_started(
    brief_house: House, after_crash: str
) -> None:
    house = brief_house
    house.flow.script("flow", Accept(polls=NEVER_DONE, retry_after="1"))
    async with worker_process(house, after_crash=after_crash) as first:
        request_id = await house.ask()
        await house.flow.polls.until(1, within_s=20)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    house.flow.finish_operations(Answer(body=b"survived"))
    async with worker_process(house, after_crash=after_crash):
        reply = await house.reply(request_id, within_s=30)
    assert (property_of(reply, "outcome"), body_of(reply)) == ("answered", b"survived")
    assert reply.correlation_id == request_id
    assert len(house.flow.calls) == 1


async def test_the_signature_of_a_location_is_in_no_record_and_no_answer(house: House) -> None:
    location = "/workflows/flow/operations/9?sig=topsecret"
    house.flow.script("flow", Accept(location=location, retry_after="0"))
    async with house.worker() as worker:
        reply = await house.reply(await house.ask())
        await worker.ended.until(2)
    assert property_of(reply, "outcome") == "refused", "the stand-in knows no such operation"
    assert "authorization" not in house.flow.polls[0].headers
    assert "topsecret" not in repr(list(worker.ended))
    assert b"topsecret" not in body_of(reply)


async def test_a_location_elsewhere_is_not_asked_even_where_it_came_in_a_message(house: House) -> None:
    """Whoever may send requests may write such a message: the same rule holds for it."""
    house.flow.script("flow")
    forged = {
        "request-id": "r-1",
        "answer-location": "https://metadata.example/secrets",
        "answer-flow": "flow",
        "answer-attempts": 1,
    }
    async with house.worker():
        reply = await house.reply(await house.ask(application_properties=forged))
    assert property_of(reply, "outcome") == "indeterminate"
    assert b"polling_hosts" in body_of(reply)
    assert len(house.flow.calls) == len(house.flow.polls) == 0


async def test_where_copies_have_nowhere_to_go_the_answer_is_fetched_in_place(house: House) -> None:
    house.flow.script("flow", Accept(polls=1, retry_after="0"))
    async with house.worker() as worker:
        request_id = await house.ask()
        house.broker.faults.refuse_sends(REQUESTS, condition="amqp:not-allowed")
        reply = await house.reply(request_id)
        await worker.ended.until(1)
    assert property_of(reply, "outcome") == "answered"
    assert len(house.flow.calls) == 1


async def test_an_idempotent_flows_answer_is_fetched_in_place(house: House) -> None:
    house.flow.script("flow", Accept(polls=1, retry_after="0"), PlatformError.gateway_timeout())
    async with house.worker({"idempotent": True}) as worker:
        await house.reply(await house.ask())
        await worker.ended.until(1, where=lambda each: each.outcome is Outcome.ANSWERED)
    assert len(worker.ended) == 1
