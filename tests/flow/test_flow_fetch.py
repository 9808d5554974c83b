"""Fetching a run's answer: where, for how long, and with which credentials."""

import asyncio
from dataclasses import replace

from support.flows import Caller, call_of, spec_of

from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Answered, FlowOutcome, Indeterminate, Running
from worker.emulator.standins import Accept, Answer, Echo, FlowStandIn, PlatformError
from worker.flow.client import FlowClient


async def begun(client: FlowClient, spec: FlowSpec) -> Running:
    running = await client.start(call_of(spec)).run()
    assert isinstance(running, Running)
    return running


async def fetch(
    client: FlowClient, spec: FlowSpec, running: Running, *, within_s: float = 5.0, stays_s: float = 5.0
) -> FlowOutcome | Running:
    now = asyncio.get_running_loop().time()
    return await client.fetch(spec, running, until=now + within_s, stays_until=now + stays_s).run()


async def test_what_the_flow_itself_told_is_asked_with_the_token(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(location="/elsewhere/on/the/host", retry_after="0"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    running = await begun(client, spec)
    assert running.location == f"{flow.url}/elsewhere/on/the/host", "whole, because it may travel"
    await fetch(client, spec, running)
    assert client.facts()[spec.name].in_flight == 0


async def test_what_came_in_a_message_gets_the_token_only_within_the_workflow(
    caller: Caller, flow: FlowStandIn
) -> None:
    flow.script("x", Echo())
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    told = Running(location="", retry_after_s=0.0, run_id=None, attempts=1)
    for workflow in ("x", "somebody-elses"):
        await fetch(client, spec, replace(told, location=f"{flow.url}/workflows/{workflow}/operations/1"))
    own, foreign = flow.polls
    assert own.headers["authorization"].startswith("Bearer ")
    assert "authorization" not in foreign.headers


async def test_an_answer_that_takes_long_is_left_to_another_time(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=1_000_000, retry_after="0"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    left = await fetch(client, spec, await begun(client, spec), stays_s=0.2)
    assert isinstance(left, Running)
    assert left.run_id
    assert left.retry_after_s is not None
    flow.finish_operations(Answer(body=b"late"))
    outcome = await fetch(client, spec, left)
    assert isinstance(outcome, Answered)
    assert outcome.body.content == b"late"


async def test_a_run_begun_before_the_flow_moved_is_still_asked_for_its_answer(
    caller: Caller, flow: FlowStandIn
) -> None:
    async with FlowStandIn() as new_home:
        flow.script("x", Accept(polls=0, then=Answer(body=b"from the old one"), retry_after="0"))
        new_home.script("x", Echo())
        spec = spec_of(flow.url_of("x", sig="s"))
        client = await caller.client(spec)
        running = await begun(client, spec)
        assert client.move(spec.name, new_home.url_of("x", sig="s"))
        outcome = await fetch(client, spec, running)
        assert isinstance(outcome, Answered)
        assert outcome.body.content == b"from the old one"
        assert isinstance(await client.start(call_of(spec)).run(), Answered)
        assert len(new_home.calls) == 1
        assert not client.move(spec.name, new_home.url_of("x", sig="s"))


async def test_an_answer_that_never_came_is_the_platforms_word_of_a_lost_run(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", Accept(polls=0, then=Answer(status=502, body=b'{"error":{"code":"NoResponse"}}'), retry_after="0"))
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    outcome = await fetch(client, spec, await begun(client, spec))
    assert isinstance(outcome, Indeterminate)
    assert outcome.code == "NoResponse"


async def test_polls_of_one_flow_take_no_connection_from_another(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("slow", Accept(polls=1_000_000, retry_after="0"))
    flow.script("quick", Echo())
    slow = spec_of(flow.url_of("slow"), name="slow", concurrency=1)
    quick = spec_of(flow.url_of("quick"), name="quick", concurrency=1)
    client = await caller.client(slow, quick)
    running = await begun(client, slow)
    polling = [asyncio.create_task(fetch(client, slow, running)) for _ in range(30)]
    await flow.polls.until(30)
    assert isinstance(await client.start(call_of(quick)).run(), Answered)
    for task in polling:
        task.cancel()
    await asyncio.gather(*polling, return_exceptions=True)


async def test_many_401s_at_once_are_each_tried_once_more(caller: Caller, flow: FlowStandIn) -> None:
    flow.script("x", *[PlatformError(status=401, code="ExpiredToken")] * 40, Echo())
    spec = spec_of(flow.url_of("x"))
    client = await caller.client(spec)
    outcomes = await asyncio.gather(*(client.start(call_of(spec)).run() for _ in range(40)))
    assert all(isinstance(outcome, Answered) for outcome in outcomes)
    assert len(flow.calls) == 80
