"""Requests without a return address: how each ends at the queue."""

from support.house import REPLIES, REQUESTS, House

from worker.core.outcome import Outcome
from worker.emulator.standins import Answer, Hang, PlatformError


async def test_an_answered_one_way_request_is_completed_and_nobody_is_told(house: House) -> None:
    async with house.worker() as worker:
        request_id = await house.send()
        ended = await worker.ended_as(request_id)
        await house.request_queue_empty()
    assert ended.outcome is Outcome.ANSWERED
    assert house.broker.facts.counts(REPLIES).ready == 0
    assert house.broker.facts.counts(REQUESTS).dead_lettered == 0


async def test_a_refused_one_way_request_is_dead_lettered_with_the_run_that_refused_it(house: House) -> None:
    house.flow.script("flow", Answer(status=422, body=b"no"))
    async with house.worker():
        reason, description = await house.dead_letter(await house.send())
    assert reason == "FlowRefused"
    assert "HTTP 422" in description
    assert "run 0858" in description


async def test_an_unavailable_flow_gets_the_request_again_later_under_its_first_id(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"), Answer())
    async with house.worker({"retry": {"attempts": 1}}, worker={"redelivery_s": [0.2, 0.2]}) as worker:
        request_id = await house.send(subject="kept", application_properties={"region": "emea"})
        await worker.ended.until(1, where=lambda each: each.outcome is Outcome.ANSWERED)
        await house.request_queue_empty()
    first, second = house.flow.calls
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == request_id
    assert second.at - first.at >= 0.15
    assert [each.request_id for each in worker.ended] == [request_id, request_id]


async def test_a_flow_that_stays_unavailable_dead_letters_the_request_after_the_last_try(house: House) -> None:
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"))
    async with house.worker({"retry": {"attempts": 1}}, worker={"redelivery_s": [0.05, 0.05]}) as worker:
        request_id = await house.send()
        await worker.ended.until(3, where=lambda each: each.request_id == request_id)
        await house.request_queue_empty()
    (dead,) = house.broker.facts.messages(f"{REQUESTS}/$DeadLetterQueue")
    assert dead.added_properties["DeadLetterReason"] == "FlowUnavailable"
    assert dead.message.application_properties["request-id"] == request_id
    assert dead.message.application_properties["delivery-attempt"] == 2
    assert len(house.flow.calls) == 3


async def test_a_flow_that_may_have_run_is_not_called_again_for_a_one_way_request(house: House) -> None:
    house.flow.script("flow", PlatformError.gateway_timeout())
    async with house.worker():
        reason, description = await house.dead_letter(await house.send())
    assert reason == "FlowIndeterminate"
    assert "HTTP 504" in description
    assert len(house.flow.calls) == 1


async def test_an_idempotent_flow_that_may_have_run_gets_a_one_way_request_again(house: House) -> None:
    house.flow.script("flow", PlatformError.gateway_timeout(), Answer())
    flow = {"idempotent": True, "retry": {"attempts": 1}}
    async with house.worker(flow, worker={"redelivery_s": [0.05]}) as worker:
        await house.send()
        await worker.ended.until(1, where=lambda each: each.outcome is Outcome.ANSWERED)
    assert len(house.flow.calls) == 2


async def test_a_one_way_request_past_its_own_time_is_dead_lettered(house: House) -> None:
    request_id = await house.send(application_properties={"timeout-s": 0.05})
    async with house.worker():
        reason, _ = await house.dead_letter(request_id)
    assert reason == "Expired"
    assert len(house.flow.calls) == 0


async def test_a_one_way_request_without_a_time_of_its_own_is_bounded_by_its_attempts(house: House) -> None:
    house.flow.script("flow", Hang())
    async with house.worker({"timeout_s": 0.3}):
        reason, _ = await house.dead_letter(await house.send())
    assert reason == "FlowIndeterminate"
