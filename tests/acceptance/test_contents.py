"""What a flow gets of a Dataverse event, and what it may answer, from the queue to the trigger and back."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from support.house import House, body_of, property_of

from worker.core.dataverse.context import Money
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import Sample, sample, sample_row
from worker.emulator.standins import Accept, Answer, Echo

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ORDER = sample_row(
    "Create",
    "order",
    {"name": "Müller & Söhne", "amount": Money(value=Decimal("922337203685477.5807"))},
    at=AT,
    new_id=uuid4,
)
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
WRONG = b'{"ok": "maybe"}\n'


@pytest.fixture
def schema(tmp_path: Path) -> str:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    return str(file)


async def test_a_template_makes_the_body_of_an_event(house: House) -> None:
    house.flow.script("flow", Echo())
    template = {"customer": "${target.name}", "amount": {"$eval": "target.amount"}, "region": "${request.properties.r}"}
    async with house.worker({"body_template": template}):
        request_id = await house.ask(
            write(ORDER, Form.XML), content_type="application/xml", application_properties={"r": "emea"}
        )
        reply = await house.reply(request_id)
    [call] = house.flow.calls
    assert call.body == '{"customer":"Müller & Söhne","amount":922337203685477.5807,"region":"emea"}'.encode()
    assert call.headers["content-type"] == "application/json"
    assert body_of(reply) == call.body


async def test_a_get_carries_texts_of_the_event_behind_the_signature_and_no_body(house: House) -> None:
    house.flow.script("flow", Answer())
    url = house.flow.url_of("flow", sig="a%2Bb")
    flow = {
        "url": url,
        "auth": "sas",
        "method": "GET",
        "query": {"name": "${target.name}", "none": "${secondaryEntityName}"},
    }
    async with house.worker(flow):
        reply = await house.reply(await house.ask(write(ORDER, Form.MSBIN1), content_type="application/msbin1"))
    assert property_of(reply, "outcome") == "answered"
    [call] = house.flow.calls
    assert (call.method, call.body) == ("GET", b"")
    assert call.path_and_query.startswith("/workflows/flow/")
    assert call.path_and_query.partition("&sig=")[2] == "a%2Bb&name=M%C3%BCller%20%26%20S%C3%B6hne"
    assert "content-type" not in call.headers


async def test_an_event_without_what_the_flow_takes_is_rejected_and_never_called(house: House) -> None:
    async with house.worker({"body": "target"}):
        event = sample(Sample.DELETE, at=AT, new_id=uuid4)
        request_id = await house.ask(write(event, Form.JSON), content_type="application/json")
        reply = await house.reply(request_id)
        reason, description = await house.dead_letter(request_id)
    assert (property_of(reply, "outcome"), property_of(reply, "reason"), reason) == (
        "rejected",
        "Malformed",
        "Malformed",
    )
    assert "of this Delete of account it brings none" in description
    assert len(house.flow.calls) == 0


async def test_a_body_that_breaks_the_request_schema_is_rejected_and_never_called(house: House, schema: str) -> None:
    async with house.worker({"request_schema": schema}):
        reply = await house.reply(await house.ask(WRONG))
    assert (property_of(reply, "outcome"), property_of(reply, "reason")) == ("rejected", "Malformed")
    assert "breaks its schema at /ok: " in json.loads(body_of(reply))["detail"]
    assert len(house.flow.calls) == 0


@pytest.mark.parametrize("behaviour", [Answer(body=WRONG), Accept(polls=1, then=Answer(body=WRONG), retry_after="0")])
async def test_an_answer_that_breaks_the_answer_schema_is_refused_with_its_own_body(
    house: House, schema: str, behaviour: Answer | Accept
) -> None:
    house.flow.script("flow", behaviour)
    async with house.worker({"answer_schema": schema}):
        reply = await house.reply(await house.ask())
        await house.request_queue_empty()
    told = {name: property_of(reply, name) for name in ("outcome", "reason", "http-status", "attempts")}
    assert told == {"outcome": "refused", "reason": "AnswerInvalid", "http-status": 200, "attempts": 1}
    assert property_of(reply, "run-id")
    assert (body_of(reply), reply.content_type) == (WRONG, "application/json")
    assert len(house.flow.calls) == 1
