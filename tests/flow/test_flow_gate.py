"""Many calls of one flow: slots, rate and circuit."""

import asyncio

from support.flows import Caller, call_of, spec_of

from worker.core.breaker import Circuit
from worker.core.flow_spec import BreakerSpec, FlowSpec, RetrySpec
from worker.core.outcome import Answered, Expired, FlowOutcome, Unavailable
from worker.emulator.standins import Answer, Echo, FlowStandIn, Hang, PlatformError
from worker.flow.client import FlowClient

ONCE = RetrySpec(attempts=1)
DOWN = PlatformError(status=503, code="ServiceUnavailable")


async def run(client: FlowClient, spec: FlowSpec, *, within_s: float | None = 5.0) -> FlowOutcome:
    return await client.start(call_of(spec, within_s=within_s)).run()


async def open_circuit(caller: Caller, flow: FlowStandIn, *, open_s: float) -> tuple[FlowClient, FlowSpec]:
    flow.script("x", DOWN)
    spec = spec_of(flow.url_of("x"), retry=ONCE, breaker=BreakerSpec(min_calls=2, open_s=open_s))
    client = await caller.client(spec)
    for _ in range(2):
        await run(client, spec)
    assert client.states()[0].circuit is Circuit.OPEN
    flow.script("x", Echo())
    return client, spec


async def test_no_more_calls_are_under_way_than_the_flow_takes(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.03))
    spec = spec_of(flow.url_of("x"), concurrency=3)
    client = await caller.client(spec)
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(12)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert flow.peak_in_flight("x") == 3
    assert client.states()[0].in_flight == 0


async def test_a_deadline_that_passes_in_the_line_is_expired(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Hang())
    spec = spec_of(flow.url_of("x"), concurrency=1, timeout_s=1.0)
    client = await caller.client(spec)
    first = asyncio.create_task(run(client, spec))
    await flow.calls.until(1)
    outcome = await run(client, spec, within_s=0.2)
    assert isinstance(outcome, Expired)
    assert outcome.attempts == 0
    await first
    assert len(flow.calls) == 1


async def test_the_rate_spaces_calls_out(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"), rate_per_s=50.0)
    client = await caller.client(spec)
    await asyncio.gather(*(run(client, spec) for _ in range(11)))
    assert max(call.at for call in flow.calls) - min(call.at for call in flow.calls) >= 0.15


async def test_a_turn_that_comes_after_the_deadline_is_expired_at_once(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"), rate_per_s=0.1)
    client = await caller.client(spec)
    assert isinstance(await run(client, spec), Answered)
    outcome = await run(client, spec)
    assert isinstance(outcome, Expired)


async def test_an_open_circuit_answers_at_once_those_who_cannot_wait(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=60.0)
    for within_s in (5.0, None):
        outcome = await run(client, spec, within_s=within_s)
        assert isinstance(outcome, Unavailable)
        assert outcome.circuit_open
        assert outcome.attempts == 0
        assert outcome.retry_after_s is not None
        assert 50.0 < outcome.retry_after_s <= 60.0
    assert len(flow.calls) == 2


async def test_those_who_can_wait_are_served_when_the_circuit_closes(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=0.2)
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(5)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert client.states()[0].circuit is Circuit.CLOSED


async def test_a_cancelled_probe_leaves_the_way_free(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=0.1)
    flow.script("x", Hang(), Echo())
    probe = asyncio.create_task(run(client, spec))
    await flow.calls.until(3)
    waiting = asyncio.create_task(run(client, spec))
    probe.cancel()
    assert isinstance(await waiting, Answered)


async def test_a_retry_that_meets_an_open_circuit_says_so(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", DOWN)
    spec = spec_of(flow.url_of("x"), breaker=BreakerSpec(min_calls=1, open_s=60.0))
    outcome = await run(await caller.client(spec), spec)
    assert isinstance(outcome, Unavailable)
    assert outcome.circuit_open
    assert outcome.attempts == 1


async def test_calls_cancelled_at_any_moment_leave_no_slot_taken(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.002))
    spec = spec_of(flow.url_of("x"), concurrency=2, rate_per_s=500.0)
    client = await caller.client(spec)
    for moment in range(60):
        calls = [asyncio.create_task(run(client, spec)) for _ in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert client.states()[0].in_flight == 0
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(4)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
