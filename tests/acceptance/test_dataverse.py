"""Dataverse's own bodies, from the queue to the flow: each form, routed by what it is, once for each event."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiohttp
from support.house import REPLIES, REQUESTS, House, body_of, property_of

from worker.core.dataverse.context import Entity, RemoteExecutionContext
from worker.core.dataverse.facts import CLAIMS, claimed_with
from worker.core.dataverse.forms import Form, read, write
from worker.core.dataverse.sample import Sample, sample
from worker.emulator.standins import Echo

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
BODIES = Path(__file__).parents[1] / "core" / "dataverse" / "dotnet" / "bodies"
# `edge_values` and `not_finite` hold what JSON can't say as the others do.
EVENTS = sorted({path.stem for path in BODIES.glob("*.xml")} - {"edge_values", "not_finite"})
STRIPPED = {"MessageMaxSizeExceeded": True}


def dotnet(event: str, form: Form) -> bytes:
    return (BODIES / f"{event}.{form}").read_bytes()


def event(which: Sample = Sample.UPDATE) -> RemoteExecutionContext:
    return sample(which, at=AT, new_id=uuid4)


def to(flow: str, **match: object) -> Mapping[str, object]:
    return {"flow": flow, "match": match}


async def test_a_message_reaches_the_flow_byte_for_byte_in_every_form(house: House) -> None:
    names = [(name, form) for name in EVENTS for form in Form]
    async with house.worker():
        sent = {await house.send(dotnet(*each), content_type=each[1].content_type): each for each in names}
        await house.flow.calls.until(len(names))
        await house.request_queue_empty()
    for call in house.flow.calls:
        name, form = sent[call.headers["x-ms-client-tracking-id"]]
        assert call.body == dotnet(name, form)
        assert call.headers["content-type"] == form.content_type


async def test_the_three_forms_of_an_event_reach_the_flow_as_the_same_plain_json(house: House) -> None:
    async with house.worker({"body": "context"}):
        for form in Form:
            for name in EVENTS:
                await house.send(dotnet(name, form), message_id=f"{name}-{form}", content_type=form.content_type)
        await house.flow.calls.until(len(EVENTS) * len(Form))
        await house.request_queue_empty()
    plain = {call.headers["x-ms-client-tracking-id"]: json.loads(call.body) for call in house.flow.calls}
    for name in EVENTS:
        assert plain[f"{name}-json"] == plain[f"{name}-xml"] == plain[f"{name}-msbin1"]
        assert plain[f"{name}-json"]["messageName"] == read(dotnet(name, Form.JSON)).message_name


async def test_an_event_goes_where_its_changed_column_sends_it(house: House) -> None:
    changed = event()
    before = changed.pre_entity_images["PreImage"]
    target = changed.input_parameters["Target"]
    assert isinstance(target, Entity)
    unchanged = replace(changed, pre_entity_images={"PreImage": replace(before, attributes=target.attributes)})
    routes = [
        to("credit", table="account", changed=["creditlimit"]),
        to("deletes", any=[{"message": "Delete"}, {"message": "Merge"}]),
        to("rest", **{"not": {"custom_api": "contoso_CheckCredit"}}),
        to("api"),
    ]
    flows = [{"name": name} for name in ("credit", "deletes", "rest", "api")]
    for flow in flows:
        house.flow.script(flow["name"])
    events = {
        "credit": changed,
        "rest": unchanged,
        "deletes": event(Sample.DELETE),
        "api": event(Sample.CUSTOM_API),
    }
    async with house.worker(*flows, routes=routes) as worker:
        sent = {
            await house.send(write(each, form), content_type=form.content_type): name
            for name, each in events.items()
            for form in Form
        }
        await worker.ended.until(len(sent))
    assert {each.request_id: each.flow for each in worker.ended} == sent


async def test_the_platforms_repeats_of_an_event_carry_one_idempotency_key(house: House) -> None:
    body, other = (write(event(), Form.MSBIN1) for _ in range(2))
    async with house.worker():
        for each in (body, body, other):
            await house.send(each, content_type=Form.MSBIN1.content_type)
        asked = await house.ask(body, content_type=Form.MSBIN1.content_type)
        named = await house.send(
            body, content_type=Form.MSBIN1.content_type, application_properties={"idempotency-key": "mine"}
        )
        await house.flow.calls.until(5)
        await house.request_queue_empty()
    keys = [call.headers["idempotency-key"] for call in house.flow.calls]
    by_id = {call.headers["x-ms-client-tracking-id"]: call.headers["idempotency-key"] for call in house.flow.calls}
    assert len(set(keys)) == 4
    assert by_id[asked] == asked  # a caller's request is its own, whatever it is about
    assert by_id[named] == "mine"


async def test_a_stripped_context_is_told_apart(house: House) -> None:
    async with house.worker():
        for form in Form:
            body = dotnet("truncated", form)
            stripped = await house.send(body, content_type=form.content_type, application_properties=STRIPPED)
            reason, description = await house.dead_letter(stripped)
            assert reason == "Truncated"
            assert "Register fewer columns" in description
    assert len(house.flow.calls) == 0


async def test_a_stripped_context_passes_where_the_flow_takes_it(house: House) -> None:
    async with house.worker({"truncated": "pass", "body": "context"}) as worker:
        stripped = await house.send(
            dotnet("truncated", Form.XML), content_type="application/xml", application_properties=STRIPPED
        )
        assert (await worker.ended_as(stripped)).outcome == "answered"
    (call,) = house.flow.calls
    assert json.loads(call.body)["inputParameters"] == {}


async def test_a_broken_context_ends_with_what_is_wrong_and_where(house: House) -> None:
    broken = {
        Form.JSON: [(b'{"MessageName": "Update", "Stage": 40, }', "not JSON at byte 37")],
        Form.XML: [
            (b"<RemoteExecutionContext><Stage>40</RemoteExecutionContext>", "not XML at byte"),
            (b'<!DOCTYPE a [<!ENTITY b "c">]><RemoteExecutionContext/>', "expected no document type declaration"),
        ],
        Form.MSBIN1: [(write(event(), Form.MSBIN1)[:-40], "found the end of the body")],
    }
    claimed = {f"{CLAIMS}RequestName": "Update"}
    async with house.worker():
        for form, bodies in broken.items():
            for body, told in bodies:
                sent = await house.send(body, content_type=form.content_type, application_properties=claimed)
                reason, description = await house.dead_letter(sent)
                assert reason == "Malformed"
                assert told in description
    assert len(house.flow.calls) == 0


async def test_events_of_strangers_and_of_loops_are_kept_out(house: House) -> None:
    deep, strange = replace(event(), depth=9), replace(event(), organization_name="elsewhere")
    async with house.worker(dataverse={"organizations": ["Flowbridge-Sample"]}) as worker:
        sent = [await house.send(write(each, Form.JSON), content_type="application/json") for each in (deep, strange)]
        reasons = [await house.dead_letter(each) for each in sent]
        welcome = await house.send(write(event(), Form.JSON), content_type="application/json")
        assert (await worker.ended_as(welcome)).outcome == "answered"
    assert [reason for reason, _ in reasons] == ["Unroutable", "Unroutable"]
    assert "loop" in reasons[0][1]
    assert "'elsewhere'" in reasons[1][1]


async def test_a_plug_in_posts_over_rest_and_its_session_gets_the_answer(house: House) -> None:
    house.flow.script("flow", Echo())
    asked, properties = event(Sample.CUSTOM_API), {"MessageId": str(uuid4()), "ReplyTo": REPLIES}
    given = {**properties, "ReplyToSessionId": "plug-in", "CorrelationId": str(asked.correlation_id), "TimeToLive": 90}
    headers = {
        "BrokerProperties": json.dumps(given),
        "Content-Type": "application/json",
        "timeout-s": "30",
        **{name: json.dumps(value) for name, value in claimed_with(asked).items()},
    }
    url = f"http://127.0.0.1:{house.broker.port}/{REQUESTS}/messages"
    async with house.worker({"body": "context"}), aiohttp.ClientSession() as plug_in:
        async with plug_in.post(url, data=write(asked, Form.JSON), headers=headers) as posted:
            assert posted.status == 201
        reply = await house.reply("plug-in")
    assert (property_of(reply, "outcome"), reply.correlation_id) == ("answered", given["MessageId"])
    assert property_of(reply, "conversation-id") == asked.correlation_id
    assert json.loads(body_of(reply))["messageName"] == "contoso_CheckCredit"


async def test_a_burst_of_events_of_every_form_is_worked_off(house: House) -> None:
    async with house.worker({"body": "context"}) as worker:
        sends = (
            house.send(write(event(which), form), content_type=form.content_type) for which in Sample for form in Form
        )
        sent = await asyncio.gather(*sends)
        await worker.ended.until(len(sent), where=lambda each: each.outcome == "answered")
    assert len(house.flow.calls) == len(sent)
