"""One call against the stand-ins: token, headers, retries, polling, and what is known when it is cut short."""

import asyncio
from dataclasses import replace

import pytest
from support.flows import Caller, call_of, spec_of

from worker.core.flow_spec import RetrySpec
from worker.core.outcome import Answered, Expired, Indeterminate, Refused, Running, Unavailable
from worker.core.trace import TraceContext, attempt_part
from worker.emulator.standins import (
    Accept,
    Answer,
    CutOff,
    Echo,
    FlowStandIn,
    Garbage,
    Hang,
    IdentityStandIn,
    PlatformError,
    Refuse,
    Stall,
)


async def test_a_run_answers_byte_for_byte(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(status=201, body=b"\x00\xff", content_type="text/plain; charset=x"))
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Answered)
    assert (outcome.http_status, outcome.body.content, outcome.body.content_type) == (
        201,
        b"\x00\xff",
        "text/plain; charset=x",
    )
    assert outcome.run_id is not None
    assert outcome.attempts == 1


async def test_the_call_carries_token_ids_and_trace(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn
) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"))
    call = replace(
        call_of(spec, body=b"<x/>"),
        request_id="rücksicht\r\nX: y",
        content_type="application/xml",
        trace={"traceparent": "00-1-2-01", "tracestate": "a=b", "Diagnostic-Id": "d"},
    )
    assert isinstance(await (await caller.client(spec)).start(call).run(), Answered)
    (received,) = flow.calls
    assert received.body == b"<x/>"
    assert received.headers["content-type"] == "application/xml"
    assert received.headers["x-ms-client-tracking-id"] == "r%C3%BCcksicht%0D%0AX: y"
    assert received.headers["idempotency-key"] == "key-r-1"
    assert (received.headers["traceparent"], received.headers["tracestate"]) == ("00-1-2-01", "a=b")
    assert "diagnostic-id" not in received.headers
    assert received.headers["authorization"].startswith("Bearer ")
    assert [request.resource for request in identity.requests] == ["https://service.flow.microsoft.com/"]


async def test_a_signature_reaches_the_trigger_unchanged_and_without_a_token(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn
) -> None:
    flow.script("x", Echo())
    outcome = await caller.call(spec_of(flow.url_of("x", sig="a%2Bb%2F-_~")))
    assert isinstance(outcome, Answered)
    assert flow.calls[0].path_and_query.endswith("&sig=a%2Bb%2F-_~")
    assert "authorization" not in flow.calls[0].headers
    assert len(identity.requests) == 0


async def test_a_content_type_that_would_break_the_header_is_left_out(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"))
    call = replace(call_of(spec), content_type="text/plain\r\nX: y")
    assert isinstance(await (await caller.client(spec)).start(call).run(), Answered)
    assert flow.calls[0].headers["content-type"] == "application/octet-stream"


async def test_throttling_is_waited_out(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError.throttled("0.2"), PlatformError.throttled("0.2"), Echo())
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Answered)
    assert outcome.attempts == 3
    assert flow.calls[2].at - flow.calls[0].at >= 0.4


async def test_a_retry_that_cannot_finish_in_time_is_not_started(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError.throttled("30"))
    outcome = await caller.call(spec_of(flow.url_of("x")), within_s=5.0)
    assert isinstance(outcome, Unavailable)
    assert (outcome.attempts, outcome.http_status, outcome.retry_after_s) == (1, 429, 30.0)
    assert outcome.code == "WorkflowTriggerRunsThrottled"


@pytest.mark.parametrize(
    "lost",
    [PlatformError.no_response(), PlatformError.gateway_timeout(), CutOff()],
    ids=["502 NoResponse", "504", "reset"],
)
async def test_what_may_have_run_is_called_again_only_when_idempotent(
    caller: Caller, flow: FlowStandIn, lost: PlatformError | CutOff
) -> None:
    flow.script("once", lost, Echo())
    flow.script("twice", lost, Echo())
    once = await caller.call(spec_of(flow.url_of("once")))
    twice = await caller.call(spec_of(flow.url_of("twice"), idempotent=True))
    assert isinstance(once, Indeterminate)
    assert isinstance(twice, Answered)
    assert [call.workflow for call in flow.calls] == ["once", "twice", "twice"]


async def test_a_plain_401_is_tried_once_more_with_a_fresh_token(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn
) -> None:
    flow.script("x", PlatformError(status=401, code="ExpiredToken"), Echo())
    outcome = await caller.call(spec_of(flow.url_of("x"), retry=RetrySpec(attempts=1)))
    assert isinstance(outcome, Answered)
    assert outcome.attempts == 2
    assert flow.calls[0].headers["authorization"] != flow.calls[1].headers["authorization"]
    assert len(identity.requests) == 2


async def test_two_attempts_at_the_same_moment_are_two_parts_of_their_trace(
    caller: Caller, flow: FlowStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.script("x", PlatformError(status=401, code="ExpiredToken"), Echo())
    spec = spec_of(flow.url_of("x"))
    context = TraceContext(trace_id="1" * 32, span_id="2" * 16, parent=None, state=None, is_sampled=True)
    loop = asyncio.get_running_loop()
    stands_at = loop.time()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: stands_at)
        call = (await caller.client(spec)).start(replace(call_of(spec), context=context))
        await call.run()
    first, second = call.tries
    assert first.began_at == second.began_at
    parts = [attempt_part(each.number, each.began_at) for each in call.tries]
    said = [each.headers["traceparent"] for each in flow.calls]
    assert said == [context.headers(part)["traceparent"] for part in parts]
    assert said[0] != said[1]


async def test_a_401_that_stays_is_refused_after_two_attempts(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn
) -> None:
    flow.script("x", PlatformError(status=401, code="ExpiredToken"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    outcomes = [await client.start(call_of(spec)).run() for _ in range(3)]
    assert [(type(outcome), outcome.attempts) for outcome in outcomes] == [(Refused, 2)] * 3
    assert len(identity.requests) == 2, "tokens are not renewed for every 401"


async def test_a_wrong_audience_is_refused_at_once(caller: Caller, identity: IdentityStandIn) -> None:
    async with FlowStandIn(audience="https://elsewhere/") as flow:
        flow.script("x", Echo())
        outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Refused)
    assert (outcome.http_status, outcome.code, outcome.attempts) == (403, "MisMatchingOAuthClaims", 1)


@pytest.mark.parametrize(
    "behaviour", [Refuse(status=400, error="invalid_request"), Garbage()], ids=["no identity", "garbage"]
)
async def test_without_a_token_the_flow_is_never_called(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn, behaviour: Refuse | Garbage
) -> None:
    identity.script(behaviour)
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 0
    assert "[identity]" in outcome.detail
    assert len(flow.calls) == 0


async def test_a_hanging_token_endpoint_holds_no_call_past_its_deadline(
    caller: Caller, flow: FlowStandIn, identity: IdentityStandIn
) -> None:
    identity.script(Stall())
    outcome = await caller.call(spec_of(flow.url_of("x")), within_s=0.3)
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 0


async def test_an_accepted_call_is_polled_and_never_sent_again(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=2, then=Answer(status=200, body=b"late"), retry_after="0"))
    outcome = await caller.call(spec_of(flow.url_of("x"), idempotent=True))
    assert isinstance(outcome, Answered)
    assert (outcome.body.content, outcome.attempts) == (b"late", 1)
    assert len(flow.calls) == 1
    assert len(flow.polls) == 3
    assert all(poll.headers["authorization"].startswith("Bearer ") for poll in flow.polls)


async def test_a_one_way_calls_answer_is_not_awaited_longer_than_an_attempt_may_take(
    caller: Caller, flow: FlowStandIn
) -> None:
    flow.script("x", Accept(polls=1_000_000, retry_after="0"))
    outcome = await caller.call(spec_of(flow.url_of("x"), timeout_s=0.5), within_s=None)
    assert isinstance(outcome, Indeterminate)
    assert outcome.run_id is not None


async def test_a_polled_refusal_is_the_flows_own(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=0, then=Answer(status=409, body=b"no", headers={}), retry_after="0"))
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Refused)
    assert outcome.body is not None
    assert outcome.body.content == b"no"


async def test_an_answer_that_is_due_after_the_deadline_is_asked_for_just_before_it(
    caller: Caller, flow: FlowStandIn
) -> None:
    flow.script("x", Accept(polls=0, then=Answer(body=b"early"), retry_after="3600"))
    outcome = await caller.call(spec_of(flow.url_of("x")), within_s=1.0)
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"early"
    assert len(flow.polls) == 1


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:99999/x", "http://127.0.0.1:abc/x", "http://[::1", "//", "?x=1"]
)
async def test_a_location_that_is_no_url_leaves_the_run_in_doubt(
    caller: Caller, flow: FlowStandIn, location: str
) -> None:
    flow.script("x", Accept(location=location, retry_after="0"))
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Indeterminate)
    assert outcome.run_id is not None
    assert len(flow.calls) == 1


async def test_an_empty_location_is_none(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(status=202, headers={"Location": ""}))
    assert isinstance(await caller.call(spec_of(flow.url_of("x"))), Answered)
    assert len(flow.polls) == 0


async def test_a_defect_of_ours_after_the_request_was_sent_leaves_it_in_doubt(
    caller: Caller, flow: FlowStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    flow.script("x", Accept(retry_after="0"))
    call = await caller.start(spec_of(flow.url_of("x")))
    monkeypatch.setattr("worker.flow.call.locate", fail)
    with pytest.raises(ZeroDivisionError):
        await call.run()
    assert isinstance(call.cut_short("the bridge failed"), Indeterminate)


async def test_a_location_on_another_host_is_not_followed(caller: Caller, flow: FlowStandIn) -> None:
    async with FlowStandIn() as other:
        flow.script("x", Accept(location=f"{other.url}/workflows/x/operations/1?sig=secret", retry_after="0"))
        outcome = await caller.call(spec_of(flow.url_of("x")))
        assert isinstance(outcome, Indeterminate)
        assert outcome.run_id is not None
        assert "polling_hosts" in outcome.detail
        assert "secret" not in outcome.detail
        assert len(other.polls) == 0


async def test_a_listed_host_is_polled_without_our_token(caller: Caller, flow: FlowStandIn) -> None:
    async with FlowStandIn() as other:
        flow.script("x", Accept(location=f"{other.url}/workflows/x/operations/1", retry_after="0"))
        spec = spec_of(flow.url_of("x"), polling_hosts=(f"127.0.0.1:{other.port}",))
        outcome = await caller.call(spec)
        assert isinstance(outcome, Refused), "the other host knows no such operation"
        assert "authorization" not in other.polls[0].headers


async def test_no_token_is_sent_to_a_signed_location(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(location="/workflows/x/operations/9?sig=abc", retry_after="0"))
    await caller.call(spec_of(flow.url_of("x")))
    assert "authorization" not in flow.polls[0].headers


async def test_an_answer_without_a_location_is_an_answer(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(status=202, body=b""))
    outcome = await caller.call(spec_of(flow.url_of("x")))
    assert isinstance(outcome, Answered)
    assert outcome.http_status == 202


async def test_a_call_cut_short_after_sending_may_have_run(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang())
    call = await caller.start(spec_of(flow.url_of("x")))
    running = asyncio.create_task(call.run())
    await flow.calls.until(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    cut = call.cut_short("the worker stops")
    assert cut == Indeterminate(detail="the worker stops", attempts=1)


async def test_a_call_cut_short_between_attempts_that_did_not_run_is_unavailable(
    caller: Caller, flow: FlowStandIn
) -> None:
    flow.script("x", PlatformError.throttled("2"))
    call = await caller.start(spec_of(flow.url_of("x")))
    running = asyncio.create_task(call.run())
    await flow.calls.until(1)
    async with asyncio.timeout(2):
        while call.cut_short("?") != Unavailable(detail="?", attempts=1):  # noqa: ASYNC110 - a call announces no pause
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.cut_short("the worker stops") == Unavailable(detail="the worker stops", attempts=1)


async def test_a_fetch_cut_short_names_its_run(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=99, retry_after="0"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    running = await client.start(call_of(spec)).run()
    assert isinstance(running, Running)
    until = asyncio.get_running_loop().time() + 5.0
    fetch = client.fetch(spec, running, until=until, stays_until=until)
    fetching = asyncio.create_task(fetch.run())
    await flow.polls.until(2)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    cut = fetch.cut_short("the worker stops")
    assert cut.run_id == running.run_id is not None
    assert cut.http_status == 202
    assert "the worker stops" in cut.detail


async def test_a_call_that_never_began_is_unavailable(caller: Caller, flow: FlowStandIn) -> None:
    call = await caller.start(spec_of(flow.url_of("x")))
    assert call.cut_short("the worker stops") == Unavailable(detail="the worker stops", attempts=0)


async def test_a_deadline_in_the_past_calls_nothing(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    outcome = await caller.call(spec_of(flow.url_of("x", sig="s")), within_s=-1.0)
    assert isinstance(outcome, Expired)
    assert len(flow.calls) == 0


async def test_a_one_way_call_has_no_deadline(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError(status=503, code="ServiceUnavailable"), Echo())
    outcome = await caller.call(spec_of(flow.url_of("x")), within_s=None)
    assert isinstance(outcome, Answered)
    assert outcome.attempts == 2
