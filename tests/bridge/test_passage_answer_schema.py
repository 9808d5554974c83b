"""An answer that breaks the flow's `answer_schema`: refused with its body, and the flow is never called again."""

from dataclasses import replace
from typing import Any

import pytest

from worker.core.json_schema import compile_schema
from worker.core.outcome import Answered, FlowBody, Indeterminate
from worker.core.reply import Undelivered
from worker.core.settlement import Complete, DeadLetter

from .world import ANSWERED, CALLER, REFUSED, RISKY, RUNNING, SAFE, SPEC, World

SCHEMA = compile_schema(b'{"properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}')
WRONG = replace(ANSWERED, body=FlowBody(content=b'{"ok": "maybe"}\n', content_type="application/vnd.x+json"))


@pytest.fixture
def world() -> World:
    flows = {flow.name: replace(flow, answer_schema=SCHEMA) for flow in (RISKY, SAFE)}
    world = World(replace(SPEC, flows=flows))
    world.flows.ending = WRONG
    return world


def assert_refused(world: World, *, body: bytes = WRONG.body.content) -> None:
    [reply] = world.replies.published
    told: dict[str, Any] = {name: reply.properties.get(name) for name in ("outcome", "reason", "http-status", "run-id")}
    assert told == {"outcome": "refused", "reason": "AnswerInvalid", "http-status": 200, "run-id": "run-1"}
    assert (reply.body, reply.content_type) == (body, WRONG.body.content_type)


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_its_caller_gets_the_flows_own_body_as_refused(world: World, flow: str) -> None:
    assert await world.passage(world.delivery(flow, **CALLER)).process() == Complete()
    assert_refused(world)


async def test_an_answer_that_is_no_json_breaks_any_schema(world: World) -> None:
    world.flows.ending = replace(WRONG, body=replace(WRONG.body, content=b"fine"))
    await world.passage(world.delivery(**CALLER)).process()
    assert_refused(world, body=b"fine")


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_one_way_it_is_dead_lettered_with_the_place(world: World, flow: str) -> None:
    settlement = await world.passage(world.delivery(flow)).process()
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason.value == "FlowRefused"
    assert "refused, HTTP 200, AnswerInvalid, run run-1" in settlement.description
    assert "its answer breaks its schema at /ok: " in settlement.description
    assert "maybe" not in settlement.description
    assert not world.redeliveries.scheduled


@pytest.mark.parametrize("flow", ["risky", "safe"])
async def test_it_is_remembered_and_the_flow_not_called_again(world: World, flow: str) -> None:
    world.replies.says = [RuntimeError("a defect")]
    delivery = world.delivery(flow, **CALLER)
    with pytest.raises(RuntimeError):
        await world.passage(delivery).process()
    assert await world.passage(replace(delivery, delivery_count=1, lock_token="lock-2")).process() == Complete()
    assert len(world.flows.calls) == 1
    assert_refused(world)


async def test_it_holds_for_an_answer_that_is_fetched_in_place(world: World) -> None:
    world.flows.ending, world.flows.answer = RUNNING, WRONG
    await world.passage(world.delivery("safe", **CALLER)).process()
    assert len(world.flows.fetches) == 1
    assert_refused(world)


async def test_it_holds_for_an_answer_that_another_worker_fetches(world: World) -> None:
    world.flows.ending, world.flows.answer = RUNNING, WRONG
    assert await world.passage(world.delivery(**CALLER)).process() == Complete()
    [copy] = world.redeliveries.scheduled
    fetched = world.received(copy)
    assert await world.passage(fetched).process() == Complete()
    assert_refused(world)
    assert len(world.flows.calls) == 1


async def test_it_holds_where_no_copy_is_taken(world: World) -> None:
    world.flows.ending, world.flows.answer = RUNNING, WRONG
    world.redeliveries.says = Undelivered(detail="full")
    await world.passage(world.delivery(**CALLER)).process()
    assert_refused(world)


@pytest.mark.parametrize(
    "ending",
    [
        Answered(http_status=201, body=FlowBody(content=b'{"ok": true}', content_type=None), run_id=None, attempts=1),
        REFUSED,
        Indeterminate(detail="x", attempts=1),
    ],
)
async def test_nothing_else_is_held_against_it(world: World, ending: Any) -> None:
    world.flows.ending = ending
    await world.passage(world.delivery(**CALLER)).process()
    [reply] = world.replies.published
    assert reply.properties.get("reason") != "AnswerInvalid"
