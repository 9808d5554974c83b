"""A second call beside a slow one, for a flow that is idempotent."""

import asyncio

import pytest
from support.flows import Caller, call_of, spec_of

from worker.core.flow_spec import FlowSpec, RetrySpec
from worker.core.outcome import Answered, Indeterminate, Running
from worker.emulator.standins import Accept, Answer, Echo, FlowStandIn, Hang, PlatformError
from worker.flow.client import FlowClient

HEDGED = {"idempotent": True, "hedge_after_s": 0.05, "retry": RetrySpec(attempts=1)}


async def test_a_slow_call_is_overtaken_by_its_hedge_under_the_same_key(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang(), Answer(body=b"second"))
    outcome = await caller.call(spec_of(flow.url_of("x"), **HEDGED))
    assert isinstance(outcome, Answered)
    assert (outcome.body.content, outcome.attempts) == (b"second", 2)
    first, second = flow.calls
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert second.at - first.at >= 0.04


async def test_a_call_that_is_fast_enough_has_no_hedge(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"), idempotent=True, hedge_after_s=5.0)
    outcome = await caller.call(spec)
    assert isinstance(outcome, Answered)
    assert outcome.attempts == len(flow.calls) == 1


async def test_a_call_overtakes_its_hedge(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(body=b"first", after_s=0.2), Hang())
    outcome = await caller.call(spec_of(flow.url_of("x"), **HEDGED))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"first"
    assert len(flow.calls) == 2


@pytest.mark.parametrize(
    "failure",
    [
        PlatformError.throttled("9"),
        PlatformError.no_response(),
        PlatformError(status=403, code="MisMatchingOAuthClaims"),
    ],
)
async def test_a_hedge_that_fails_does_not_end_the_call(
    caller: Caller, flow: FlowStandIn, failure: PlatformError
) -> None:
    flow.script("x", Answer(body=b"first", after_s=0.3), failure)
    outcome = await caller.call(spec_of(flow.url_of("x"), **HEDGED))
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"first"


async def test_two_that_fail_are_in_doubt_when_one_of_them_is(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang(), PlatformError.throttled("0"))
    outcome = await caller.call(spec_of(flow.url_of("x"), timeout_s=1.0, **HEDGED))
    assert isinstance(outcome, Indeterminate)
    assert outcome.attempts == 2


async def test_an_answer_that_comes_before_a_promise_can_be_redeemed_wins(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(body=b"first", after_s=0.4), Accept())
    spec = spec_of(flow.url_of("x"), **HEDGED)
    outcome = await (await caller.client(spec)).start(call_of(spec)).run()
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"first"


async def test_a_run_that_goes_on_wins_too(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang(), Accept())
    spec = spec_of(flow.url_of("x"), **HEDGED)
    running = await (await caller.client(spec)).start(call_of(spec)).run()
    assert isinstance(running, Running)


def under_way(client: FlowClient, spec: FlowSpec, count: int) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(client.start(call_of(spec, within_s=20.0)).run()) for _ in range(count)]


async def test_hedges_are_a_small_part_of_a_flows_calls(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.5))
    spec = spec_of(flow.url_of("x"), timeout_s=20.0, **HEDGED)
    client = await caller.client(spec)
    await asyncio.gather(*under_way(client, spec, 60))
    assert 60 < len(flow.calls) <= 60 + 5 + 0.05 * 60


async def test_no_hedge_takes_a_slot_that_is_not_free(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.5))
    spec = spec_of(flow.url_of("x"), concurrency=2, **HEDGED)
    client = await caller.client(spec)
    await asyncio.gather(*under_way(client, spec, 2))
    assert len(flow.calls) == 2
    assert client.facts()[spec.name].in_flight == 0


async def test_a_call_cancelled_with_its_hedge_leaves_nothing_behind(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang())
    spec = spec_of(flow.url_of("x"), **HEDGED)
    client = await caller.client(spec)
    call = client.start(call_of(spec))
    running = asyncio.create_task(call.run())
    await flow.calls.until(2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.cut_short("the worker stops") == Indeterminate(detail="the worker stops", attempts=2)
    assert client.facts()[spec.name].in_flight == 0
