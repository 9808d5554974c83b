"""Many calls of one flow: slots, rate and circuit."""

import asyncio

import pytest
from support.flows import Caller, call_of, spec_of

from worker.core.breaker import Circuit
from worker.core.flow_spec import BreakerSpec, FlowSpec, RetrySpec
from worker.core.outcome import Answered, Expired, FlowOutcome, HeldBack, NoRetry, Running, Unavailable
from worker.emulator.standins import Answer, Behaviour, Echo, FlowStandIn, Hang, PlatformError
from worker.flow.client import FlowClient

ONCE = RetrySpec(attempts=1)
DOWN = PlatformError(status=503, code="ServiceUnavailable")


async def run(client: FlowClient, spec: FlowSpec, *, within_s: float | None = 5.0) -> FlowOutcome | Running:
    return await client.start(call_of(spec, within_s=within_s)).run()


async def open_circuit(caller: Caller, flow: FlowStandIn, *, open_s: float) -> tuple[FlowClient, FlowSpec]:
    flow.script("x", DOWN)
    spec = spec_of(flow.url_of("x"), retry=ONCE, breaker=BreakerSpec(min_calls=2, open_s=open_s))
    client = await caller.client(spec)
    for _ in range(2):
        await run(client, spec)
    assert client.facts()["credit-check"].circuit is Circuit.OPEN
    flow.script("x", Echo())
    return client, spec


async def test_no_more_calls_are_under_way_than_the_flow_takes(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.03))
    spec = spec_of(flow.url_of("x"), concurrency=3)
    client = await caller.client(spec)
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(12)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert flow.peak_in_flight("x") == 3
    assert client.facts()["credit-check"].in_flight == 0


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
    spec = spec_of(flow.url_of("x"), rate_per_s=20.0)
    client = await caller.client(spec)
    await asyncio.gather(*(run(client, spec) for _ in range(9)))
    # 0.4 s between departures; the first may arrive late.
    assert max(call.at for call in flow.calls) - min(call.at for call in flow.calls) >= 0.2


async def test_a_turn_that_comes_after_the_deadline_is_told_at_once(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"), rate_per_s=0.1)
    client = await caller.client(spec)
    assert isinstance(await run(client, spec), Answered)
    outcome = await run(client, spec)
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 0
    assert outcome.retry_after_s == pytest.approx(10.0, abs=1.0)


async def test_an_open_circuit_answers_at_once_those_who_cannot_wait(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=60.0)
    for within_s in (5.0, None):
        outcome = await run(client, spec, within_s=within_s)
        assert isinstance(outcome, Unavailable)
        assert outcome.held_back is HeldBack.CIRCUIT
        assert outcome.attempts == 0
        assert outcome.retry_after_s is not None
        assert 50.0 < outcome.retry_after_s <= 60.0
    assert len(flow.calls) == 2


async def test_those_who_can_wait_are_served_when_the_circuit_closes(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=0.2)
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(5)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert client.facts()["credit-check"].circuit is Circuit.CLOSED


async def test_exactly_so_many_probes_are_under_way_as_are_set(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", DOWN)
    spec = spec_of(flow.url_of("x"), retry=ONCE, breaker=BreakerSpec(min_calls=2, open_s=0.1, probes=2))
    client = await caller.client(spec)
    for _ in range(2):
        await run(client, spec)
    flow.script("x", Answer(after_s=0.3), Answer(after_s=0.3), Echo())
    waiting = [asyncio.create_task(run(client, spec)) for _ in range(6)]
    await flow.calls.until(5)
    outcomes = await asyncio.gather(*waiting)
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    starts = [call.at for call in flow.calls]
    assert starts[4] - starts[3] > 0.2, "the third waited for the ends of the first two"


async def test_a_cancelled_probe_leaves_the_way_free(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=0.1)
    flow.script("x", Hang(), Echo())
    probe = asyncio.create_task(run(client, spec))
    await flow.calls.until(3)
    waiting = asyncio.create_task(run(client, spec))
    probe.cancel()
    assert isinstance(await waiting, Answered)


async def test_a_retry_that_meets_an_open_circuit_says_so_and_what_opened_it(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", DOWN)
    spec = spec_of(flow.url_of("x"), breaker=BreakerSpec(min_calls=1, open_s=60.0))
    outcome = await run(await caller.client(spec), spec)
    assert isinstance(outcome, Unavailable)
    assert outcome.http_status == 503
    assert outcome.detail.endswith(". It was not called again: its circuit is open.")
    assert outcome.attempts == 1
    assert outcome.held_back is None, "an attempt was made: it was a try"
    assert outcome.retry_after_s == pytest.approx(60.0, abs=1.0)


@pytest.mark.parametrize(
    ("answer", "within_s", "why"),
    [
        (DOWN, 5.0, NoRetry.ATTEMPTS_SPENT),
        (PlatformError.gateway_timeout(), 5.0, NoRetry.NOT_IDEMPOTENT),
        (PlatformError.throttled("60"), 5.0, NoRetry.NO_TIME),
        (PlatformError.throttled("60"), None, NoRetry.ASKED_TO_WAIT),
        (Answer(), 5.0, None),
    ],
)
async def test_a_call_says_why_it_is_not_made_again(
    caller: Caller, flow: FlowStandIn, answer: Behaviour, within_s: float | None, why: NoRetry | None
) -> None:
    flow.script("x", answer)
    spec = spec_of(flow.url_of("x"), retry=RetrySpec(attempts=2, first_s=0.01, max_s=1.0))
    call = (await caller.client(spec)).start(call_of(spec, within_s=within_s))
    await call.run()
    assert call.no_retry is why


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
    assert client.facts()["credit-check"].in_flight == 0
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(4)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)


async def test_an_isolated_flow_is_not_called_until_it_is_reset(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    client.isolate(spec.name)
    for within_s in (5.0, None):
        outcome = await run(client, spec, within_s=within_s)
        assert isinstance(outcome, Unavailable)
        assert outcome.held_back is HeldBack.CIRCUIT
    assert client.facts()[spec.name].circuit is Circuit.ISOLATED
    assert len(flow.calls) == 0
    client.reset(spec.name)
    assert isinstance(await run(client, spec), Answered)


async def test_a_reset_serves_those_who_wait_for_the_circuit(caller: Caller, flow: FlowStandIn) -> None:
    client, spec = await open_circuit(caller, flow, open_s=30.0)
    waiting = asyncio.create_task(run(client, spec, within_s=60.0))
    await asyncio.sleep(0)
    client.reset(spec.name)
    assert isinstance(await waiting, Answered)


async def test_a_flow_is_called_less_at_once_after_it_said_too_many(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError.throttled("0"))
    spec = spec_of(flow.url_of("x"), concurrency=20, retry=ONCE)
    client = await caller.client(spec)
    for _ in range(10):
        await asyncio.gather(*(run(client, spec) for _ in range(20)))
    assert client.facts()[spec.name].limit < 10


async def test_the_limit_in_force_bounds_what_is_under_way(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Answer(after_s=0.02))
    spec = spec_of(flow.url_of("x"), concurrency=12)
    client = await caller.client(spec)
    client.set_workers(4)
    assert client.facts()[spec.name].limit == 3
    outcomes = await asyncio.gather(*(run(client, spec) for _ in range(12)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert flow.peak_in_flight("x") == 3
    client.set_workers(1)
    await asyncio.gather(*(run(client, spec) for _ in range(12)))
    assert flow.peak_in_flight("x") == 12


async def test_a_rate_is_shared_with_the_other_workers(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"), rate_per_s=100.0)
    client = await caller.client(spec)
    client.set_workers(5)
    await asyncio.gather(*(run(client, spec) for _ in range(5)))
    assert max(call.at for call in flow.calls) - min(call.at for call in flow.calls) >= 0.15
    assert client.facts()[spec.name].rate_per_s == 20.0


async def test_calls_are_spaced_out_before_the_platform_throttles(caller: Caller, flow: FlowStandIn) -> None:
    header = "x-ms-ratelimit-burst-remaining-workflow-writes"
    flow.script("x", Answer(headers={header: "3000"}), Answer(headers={header: "150"}))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    for _ in range(4):
        assert isinstance(await run(client, spec), Answered)
    _, second, third, fourth = (call.at for call in flow.calls)
    assert third - second >= 0.15, "30 s over the 150 that are left"
    assert fourth - third >= 0.15


async def test_retries_are_a_small_part_of_a_flows_calls(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", PlatformError.throttled("0"))
    spec = spec_of(flow.url_of("x"), retry=RetrySpec(attempts=4, first_s=0.001, max_s=0.001))
    client = await caller.client(spec)
    before = asyncio.get_running_loop().time()
    for _ in range(100):
        await run(client, spec)
    took_s = asyncio.get_running_loop().time() - before
    assert len(flow.calls) > 100, "the first failures are tried again"
    assert len(flow.calls) <= 100 + 0.2 * 100 + 10 + took_s


async def answered_in(client: FlowClient, spec: FlowSpec, flow: FlowStandIn, after_s: float) -> None:
    flow.script("x", Answer(after_s=after_s))
    await asyncio.gather(*(run(client, spec) for _ in range(20)))


async def test_a_call_without_a_chance_is_not_made_and_one_in_twenty_is(caller: Caller, flow: FlowStandIn) -> None:
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    await answered_in(client, spec, flow, 0.5)
    flow.script("x", Echo())
    outcomes = [await run(client, spec, within_s=0.4) for _ in range(40)]
    turned_away = [outcome for outcome in outcomes if isinstance(outcome, Expired)]
    assert len(turned_away) == 38
    assert {(outcome.code, outcome.attempts) for outcome in turned_away} == {("TooLittleTimeLeft", 0)}
    assert len(flow.calls) == 22
    assert isinstance(await run(client, spec, within_s=2.0), Answered), "with time enough"


async def test_the_estimate_recovers_when_the_flow_gets_faster(caller: Caller, flow: FlowStandIn) -> None:
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    await answered_in(client, spec, flow, 0.5)
    flow.script("x", Echo())
    for _ in range(5):
        await run(client, spec, within_s=5.0)
    assert isinstance(await run(client, spec, within_s=0.4), Answered)


async def test_a_retry_without_a_chance_is_not_started(caller: Caller, flow: FlowStandIn) -> None:
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    await answered_in(client, spec, flow, 0.5)
    flow.script("x", PlatformError.throttled("0.3"))
    outcome = await run(client, spec, within_s=0.7)
    assert isinstance(outcome, Unavailable)
    assert outcome.attempts == 1
