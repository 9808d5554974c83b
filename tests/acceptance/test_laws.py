"""What the bridge keeps to whatever happens, each law shown over the wire."""

import asyncio
from typing import Any

import pytest
from support.house import REPLIES, REQUESTS, House, body_of, property_of

from worker.bridge import process
from worker.bridge.leash import CutReason
from worker.core.outcome import Outcome
from worker.emulator.broker import Abandon, Complete
from worker.emulator.server.history import Enqueued, Settled
from worker.emulator.standins import Answer, Echo, Hang, PlatformError

CONTEXT_CLAIM = "http://schemas.microsoft.com/xrm/2011/Claims/RequestName"
GARBAGE: dict[str, dict[str, Any]] = {
    "a time-out that is no number": {"application_properties": {"timeout-s": "soon"}},
    "a negative time-out": {"application_properties": {"timeout-s": -1}},
    "a broken context": {
        "body": b'{"MessageName": "Upd',
        "content_type": "application/json",
        "application_properties": {CONTEXT_CLAIM: "Update"},
    },
    "a context that Dataverse stripped": {
        "application_properties": {CONTEXT_CLAIM: "Update", "Microsoft.Xrm.MessageMaxSizeExceeded": True}
    },
    "a flow that doesn't exist": {"application_properties": {"flow": "nowhere"}},
    "a trace parent that isn't ASCII": {"application_properties": {"traceparent": "größe"}},
    "an empty body": {"body": b""},
    "a body of every byte": {"body": bytes(range(256))},
    "a foreign return address": {"reply_to": "sb://elsewhere.example.com/flow-replies", "reply_to_session_id": "s"},
    "a return address without a session": {"reply_to": REPLIES},
    "no message id": {"message_id": ""},
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_law_1_every_request_ends_answered_or_dead_lettered(house: House, kind: str) -> None:
    fields = dict(GARBAGE[kind])
    body = fields.pop("body", b"{}")
    async with house.worker() as worker:
        await house.send(body, **fields)
        await worker.ended.until(1)
        await house.request_queue_empty()
    counts = house.broker.facts.counts(REQUESTS)
    completed = [
        each
        for each in house.broker.facts.history
        if isinstance(each, Settled) and each.entity == REQUESTS and each.settlement == Complete()
    ]
    assert counts.dead_lettered + len(completed) == 1
    for dead in house.broker.facts.messages(f"{REQUESTS}/$DeadLetterQueue"):
        assert dead.added_properties["DeadLetterReason"]
        assert dead.added_properties["DeadLetterErrorDescription"]


async def test_law_2_a_repeated_reply_carries_the_same_message_id_and_is_seen_once(house: House) -> None:
    async with house.worker() as worker:
        house.broker.faults.delay_dispositions(REQUESTS, delay_s=1.0, times=1)
        request_id = await house.ask()
        await house.broker.until(lambda _: len(house.replies_in(request_id)) == 1)
        house.broker.faults.lose_locks(REQUESTS)
        await worker.ended.until(1, where=lambda each: each.is_recalled)
        await house.request_queue_empty()
    assert len(house.replies_in(request_id)) == 1
    assert len(house.flow.calls) == 1


@pytest.mark.parametrize(
    "address",
    [
        {"reply_to": "somebody-elses-queue", "reply_to_session_id": "s"},
        {"reply_to": "sb://elsewhere.example.com/flow-replies", "reply_to_session_id": "s"},
        {"reply_to": "https://127.0.0.1/flow-replies", "reply_to_session_id": "s"},
    ],
)
async def test_law_3_an_address_outside_the_allow_list_gets_no_answer_and_no_call(
    house: House, address: dict[str, str]
) -> None:
    async with house.worker():
        reason, description = await house.dead_letter(await house.send(b"{}", **address))
    assert reason == "ReturnAddressNotAllowed"
    assert "flow-replies" in description, "it says what is allowed"
    assert len(house.flow.calls) == 0
    assert house.broker.facts.counts(REPLIES).ready == 0


async def test_law_3_a_reply_queue_without_a_session_is_no_address(house: House) -> None:
    async with house.worker():
        reason, _ = await house.dead_letter(await house.send(reply_to=REPLIES))
    assert reason == "ReturnAddressInvalid"
    assert len(house.flow.calls) == 0


@pytest.mark.parametrize("scheme", ["sb", "amqp", "AMQPS"])
async def test_a_url_on_the_own_namespace_is_a_return_address(house: House, scheme: str) -> None:
    async with house.worker():
        request_id = await house.ask(reply_to=f"{scheme}://127.0.0.1/Flow-Replies")
        assert property_of(await house.reply(request_id), "outcome") == "answered"


async def test_law_4_a_flow_that_may_have_run_is_not_called_again_after_a_lost_lock(house: House) -> None:
    house.flow.script("flow", Echo(after_s=1.0))
    async with house.worker() as worker:
        request_id = await house.ask()
        await house.flow.calls.until(1)
        house.broker.faults.lose_locks(REQUESTS)
        reply = await house.reply(request_id)
        await house.request_queue_empty()
        await worker.ended.until(2, within_s=40)
    assert property_of(reply, "outcome") in {"answered", "indeterminate"}
    assert len(house.flow.calls) == 1
    assert len(house.replies_in(request_id)) == 0, "one reply, and it was taken"


@pytest.mark.parametrize(
    ("after_crash", "outcome", "calls"), [("call", "answered", 1), ("indeterminate", "indeterminate", 0)]
)
async def test_law_4_a_worker_without_memory_of_a_redelivered_request_does_as_after_crash_says(
    house: House, after_crash: str, outcome: str, calls: int
) -> None:
    request_id = await house.ask()
    async with house.client.get_queue_receiver(REQUESTS) as crashed:
        (message,) = await crashed.receive_messages(max_message_count=1, max_wait_time=5)
        await crashed.abandon_message(message)
    async with house.worker({"after_crash": after_crash}):
        reply = await house.reply(request_id)
    assert property_of(reply, "outcome") == outcome
    assert len(house.flow.calls) == calls


async def test_law_5_the_reply_is_on_its_queue_before_the_request_is_completed(house: House) -> None:
    async with house.worker():
        request_ids = [await house.ask() for _ in range(5)]
        await house.request_queue_empty()
    history = house.broker.facts.history
    for request_id in request_ids:
        replied = next(
            index
            for index, each in enumerate(history)
            if isinstance(each, Enqueued) and each.entity == REPLIES and each.session_id == request_id
        )
        settled = next(
            index for index, each in enumerate(history) if isinstance(each, Settled) and each.message_id == request_id
        )
        assert replied < settled


async def test_law_5_a_reply_that_is_refused_for_good_leaves_outcome_and_run_in_the_dead_letter(house: House) -> None:
    async with house.worker():
        house.broker.faults.refuse_sends(REPLIES, condition="amqp:not-allowed")
        reason, description = await house.dead_letter(await house.ask())
    assert reason == "ReplyUndeliverable"
    assert "answered" in description
    assert "run 0858" in description


async def test_law_5_a_reply_is_tried_again_while_the_queue_is_busy(house: House) -> None:
    async with house.worker():
        house.broker.faults.refuse_sends(REPLIES, times=2)
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert property_of(reply, "outcome") == "answered"
    assert len(house.flow.calls) == 1


async def test_law_6_callers_are_answered_at_once_while_the_circuit_is_open(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"))
    flow = {"retry": {"attempts": 1}, "breaker": {"min_calls": 3, "open_s": 60}}
    async with house.worker(flow):
        for _ in range(3):
            await house.reply(await house.ask())
        request_id = await house.ask(application_properties={"timeout-s": 20})
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("unavailable", 0)
    assert 1 <= property_of(reply, "retry-after-s") <= 70
    assert property_of(reply, "elapsed-ms") < 2000
    assert len(house.flow.calls) == 3


async def test_law_6_a_one_way_request_waits_for_an_open_circuit_without_spending_a_try(house: House) -> None:
    house.flow.script("flow", *[PlatformError(status=503, code="ServiceBusy")] * 3, Answer())
    flow = {"retry": {"attempts": 1}, "breaker": {"min_calls": 3, "open_s": 1}}
    async with house.worker(flow) as worker:
        for _ in range(3):
            await house.reply(await house.ask())
        request_id = await house.send()
        await worker.ended.until(1, where=lambda each: each.outcome is Outcome.ANSWERED)
        await house.request_queue_empty()
    copies = [
        each
        for each in house.broker.facts.history
        if isinstance(each, Enqueued) and each.entity == REQUESTS and each.scheduled_for is not None
    ]
    assert copies
    assert [each.delivery_count for each in worker.ended if each.request_id == request_id] == [0] * (len(copies) + 1)


async def test_law_7_a_stopping_worker_finishes_what_it_has_and_takes_nothing_new(house: House) -> None:
    house.flow.script("flow", Echo(after_s=3.0))
    async with house.worker() as worker:
        in_hand = await house.ask(b"first")
        await house.flow.calls.until(1)
        connections = house.broker.facts.connections
        worker.stop.request()
        await house.broker.until(lambda facts: facts.connections < connections)  # the idle lane
        late = await house.ask(b"second")
        assert body_of(await house.reply(in_hand)) == b"first"
        assert await worker.draining
    (waiting,) = house.broker.facts.messages(REQUESTS)
    assert (waiting.message.message_id, waiting.delivery_count) == (late, 0)


async def test_law_7_what_was_not_called_yet_goes_to_another_worker_at_no_delivery_count(house: House) -> None:
    house.flow.script("flow", Echo(after_s=1.0))
    async with house.worker({"concurrency": 1}) as worker:
        asked = [await house.ask(b"%d" % number) for number in range(3)]
        one_way = await house.send()
        await house.broker.until(lambda facts: facts.counts(REQUESTS).locked == 4)
        await house.flow.calls.until(1)
        worker.stop.request()
        assert await worker.draining
    assert len(house.flow.calls) == 1
    waiting = house.broker.facts.messages(REQUESTS)
    assert [(each.delivery_count, each.message.application_properties["delivery-attempt"]) for each in waiting] == [
        (0, 0)
    ] * 3
    async with house.worker({"concurrency": 1}) as other:
        replies = [await house.reply(session) for session in asked]
        await other.ended.until(1, where=lambda each: each.request_id == one_way)
    assert [body_of(reply) for reply in replies] == [b"0", b"1", b"2"]
    assert len(house.flow.calls) == 4


async def test_law_7_a_call_that_outlives_the_drain_is_answered_indeterminate(house: House) -> None:
    house.flow.script("flow", Hang())
    async with house.worker(worker={"drain_s": 2.0}) as worker:
        asked = await house.ask()
        one_way = await house.send()
        await house.flow.calls.until(2)
        worker.stop.request()
        reply = await house.reply(asked)
        reason, _ = await house.dead_letter(one_way)
        assert await worker.draining
    assert property_of(reply, "outcome") == "indeterminate"
    assert reason == "FlowIndeterminate"


async def test_law_7_a_call_of_an_idempotent_flow_that_outlives_the_drain_goes_back(house: House) -> None:
    house.flow.script("flow", Hang())
    async with house.worker({"idempotent": True}, worker={"drain_s": 2.0}) as worker:
        request_id = await house.ask()
        await house.flow.calls.until(1)
        worker.stop.request()
        assert await worker.draining
    (waiting,) = house.broker.facts.messages(REQUESTS)
    assert (waiting.message.message_id, waiting.delivery_count) == (request_id, 1)
    assert house.replies_in(request_id) == []


async def test_law_8_our_own_defect_abandons_and_tells_the_caller_on_the_third_delivery(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("planted by a test")

    monkeypatch.setattr(process, "flow_for", broken)
    async with house.worker() as worker:
        request_id = await house.ask()
        reply = await house.reply(request_id, within_s=20)
        await worker.ended.until(2)
        worker.pump.cut(CutReason.STOP_NOW)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("unavailable", 0)
    assert all(each.defect == "ZeroDivisionError: planted by a test" for each in worker.ended)
    abandoned = [
        each
        for each in house.broker.facts.history
        if isinstance(each, Settled) and each.message_id == request_id and each.settlement == Abandon()
    ]
    assert len(abandoned) >= 2
    assert abandoned[1].at - abandoned[0].at >= 1.5, "the pause grows"
    assert house.broker.facts.counts(REQUESTS).dead_lettered == 0


async def test_law_9_no_more_is_in_flight_or_locked_than_was_configured(house: House) -> None:
    house.flow.script("flow", Echo(after_s=0.05))
    async with house.worker(worker={"concurrency": 5}):
        sending = [house.ask() for _ in range(20)]
        request_ids = await asyncio.gather(*sending)
        await house.broker.until(
            lambda facts: facts.counts(REQUESTS).locked <= 5 and facts.counts(REPLIES).ready == len(request_ids)
        )
    assert house.flow.peak_in_flight("flow") <= 5
