"""Each outcome, from a sender's message to the caller's session."""

import json
import socket

from support.house import House, body_of, property_of

from worker.core.outcome import Outcome
from worker.emulator.standins import Accept, Answer, CutOff, CutPoint, Hang, PlatformError


async def test_an_answer_reaches_the_session_that_asked_byte_for_byte(house: House) -> None:
    body = '{"größe": 1}\n'.encode()
    house.flow.script("flow", Answer(status=201, body=body, content_type="application/vnd.x+json; v=1"))
    async with house.worker():
        request_id = await house.ask(correlation_id="conversation 7", application_properties={"timeout-s": 30})
        reply = await house.reply(request_id)
    assert body_of(reply) == body
    assert reply.content_type == "application/vnd.x+json; v=1"
    assert reply.correlation_id == request_id
    assert property_of(reply, "outcome") == "answered"
    assert property_of(reply, "request-id") == request_id
    assert property_of(reply, "conversation-id") == "conversation 7"
    assert property_of(reply, "http-status") == 201
    assert property_of(reply, "attempts") == 1
    assert property_of(reply, "elapsed-ms") >= 0
    assert property_of(reply, "run-id").startswith("0858")
    assert property_of(reply, "retry-after-s") is None
    assert property_of(reply, "reason") is None
    assert reply.time_to_live is not None
    assert 25 <= reply.time_to_live.total_seconds() <= 31


async def test_the_flow_is_called_with_token_tracking_id_and_idempotency_key(house: House) -> None:
    async with house.worker():
        request_id = await house.ask(
            b"<x/>",
            content_type="application/xml",
            application_properties={
                "idempotency-key": "order ü1",
                "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            },
        )
        await house.reply(request_id)
    (call,) = house.flow.calls
    assert call.body == b"<x/>"
    assert call.headers["content-type"] == "application/xml"
    assert call.headers["x-ms-client-tracking-id"] == request_id
    assert call.headers["idempotency-key"] == "order %C3%BC1"
    assert call.headers["traceparent"].startswith("00-aaaa")
    assert call.headers["authorization"].startswith("Bearer ")
    assert [each.resource for each in house.identity.requests] == ["https://service.flow.microsoft.com/"]


async def test_the_flows_own_refusal_is_passed_on_byte_for_byte(house: House) -> None:
    house.flow.script("flow", Answer(status=409, body=b"\x00already there", content_type="text/plain"))
    async with house.worker():
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "http-status")) == ("refused", 409)
    assert (body_of(reply), reply.content_type) == (b"\x00already there", "text/plain")
    assert property_of(reply, "run-id") is not None
    assert len(house.flow.calls) == 1


async def test_a_triggers_refusal_is_a_problem_document_with_its_code(house: House) -> None:
    house.flow.script("flow", PlatformError.schema_mismatch())
    async with house.worker():
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "http-status")) == ("refused", 400)
    assert property_of(reply, "reason") == "TriggerInputSchemaMismatch"
    assert reply.content_type == "application/problem+json"
    problem = json.loads(body_of(reply))
    assert problem["status"] == 400
    assert "TriggerInputSchemaMismatch" in problem["detail"]


async def test_what_surely_did_not_run_is_tried_again(house: House) -> None:
    house.flow.script("flow", PlatformError.throttled("0"), PlatformError(status=503, code="ServiceBusy"), Answer())
    async with house.worker({"retry": {"first_s": 0.01}}):
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("answered", 3)
    assert len({call.headers["idempotency-key"] for call in house.flow.calls}) == 1


async def test_a_flow_that_refuses_connections_is_unavailable(house: House) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/workflows/x"
        async with house.worker({"url": url, "auth": "none", "retry": {"attempts": 2, "first_s": 0.01}}):
            request_id = await house.ask()
            reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("unavailable", 2)
    assert json.loads(body_of(reply))["status"] == 503


async def test_throttling_to_the_end_tells_the_caller_when_to_come_back(house: House) -> None:
    house.flow.script("flow", PlatformError.throttled("77"))
    async with house.worker():
        request_id = await house.ask(application_properties={"timeout-s": "5"})
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "http-status")) == ("unavailable", 429)
    assert property_of(reply, "retry-after-s") == 77
    assert len(house.flow.calls) == 1, "a retry that can't come in time isn't started"


async def test_a_flow_that_hangs_is_indeterminate_when_the_callers_time_is_up(house: House) -> None:
    house.flow.script("flow", Hang())
    async with house.worker():
        request_id = await house.ask(application_properties={"timeout-s": 1.0})
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("indeterminate", 1)
    assert 800 <= property_of(reply, "elapsed-ms") <= 3000
    assert len(house.flow.calls) == 1


async def test_a_run_without_an_answer_is_indeterminate_and_not_called_again(house: House) -> None:
    house.flow.script("flow", PlatformError.no_response())
    async with house.worker():
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "http-status")) == ("indeterminate", 502)
    assert property_of(reply, "reason") == "NoResponse"
    assert property_of(reply, "run-id") is not None
    assert len(house.flow.calls) == 1


async def test_an_idempotent_flow_is_called_again_after_a_cut_answer(house: House) -> None:
    house.flow.script("flow", CutOff(at=CutPoint.IN_BODY), Answer(body=b"whole"))
    async with house.worker({"idempotent": True, "retry": {"first_s": 0.01}}):
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts"), body_of(reply)) == ("answered", 2, b"whole")


async def test_an_asynchronous_answer_is_polled(house: House) -> None:
    house.flow.script("flow", Accept(polls=2, retry_after="0", then=Answer(status=200, body=b"late")))
    async with house.worker():
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), body_of(reply)) == ("answered", b"late")
    assert len(house.flow.calls) == 1


async def test_an_answer_above_the_limit_is_indeterminate_with_its_size_named(house: House) -> None:
    house.flow.script("flow", Answer(body=b"x" * 2000))
    async with house.worker({"max_response_bytes": 1000}):
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "reason")) == ("indeterminate", "TooLarge")
    assert (property_of(reply, "http-status"), property_of(reply, "run-id") is not None) == (200, True)
    assert b"2,000 bytes" in body_of(reply)


async def test_an_answer_above_the_reply_queues_limit_is_indeterminate(house: House) -> None:
    house.flow.script("flow", Answer(body=b"x" * 300_000))
    async with house.worker():
        request_id = await house.ask()
        reply = await house.reply(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "reason")) == ("indeterminate", "TooLarge")
    assert (property_of(reply, "http-status"), property_of(reply, "run-id") is not None) == (200, True)
    assert b"300,000 bytes" in body_of(reply)
    assert len(house.flow.calls) == 1


async def test_a_request_that_waited_too_long_expires_without_a_call(house: House) -> None:
    request_id = await house.ask(application_properties={"timeout-s": 0.2})
    async with house.worker() as worker:
        reply = await house.reply(request_id)
        ended = await worker.ended_as(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "attempts")) == ("expired", 0)
    assert ended.outcome is Outcome.EXPIRED
    assert len(house.flow.calls) == 0


async def test_an_unroutable_request_is_rejected_and_kept_as_a_dead_letter(house: House) -> None:
    async with house.worker({"name": "one"}, {"name": "two"}):
        request_id = await house.ask(application_properties={"flow": "three"})
        reply = await house.reply(request_id)
        reason, description = await house.dead_letter(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "reason")) == ("rejected", "Unroutable")
    assert reason == "Unroutable"
    assert "three" in description
    assert "one, two" in description


async def test_a_request_is_routed_by_what_dataverse_says_of_it(house: House) -> None:
    house.flow.script("one", Answer(body=b"1"))
    house.flow.script("two", Answer(body=b"2"))
    context = json.dumps({"MessageName": "Update", "PrimaryEntityName": "account", "Stage": 40, "Mode": 0}).encode()
    routes = [{"flow": "two", "match": {"message": "update", "table": "account", "stage": 40}}]
    async with house.worker({"name": "one"}, {"name": "two"}, routes=routes):
        by_route = await house.ask(context, content_type="application/json")
        by_name = await house.ask(b"{}", application_properties={"flow": "one"})
        assert body_of(await house.reply(by_route)) == b"2"
        assert body_of(await house.reply(by_name)) == b"1"
