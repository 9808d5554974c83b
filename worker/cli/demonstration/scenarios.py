"""What the demo asks, and which answer would be the right one."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import orjson

from worker.cli.demonstration.stage import Flow
from worker.core.dataverse.context import Money, OptionSetValue, Value
from worker.core.dataverse.facts import claimed_with
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import sample_row
from worker.core.outcome import Outcome
from worker.core.redelivery import FIRST_ENQUEUED
from worker.emulator.standins import Accept, Answer, Echo, PlatformError
from worker.requester import NoReply, Requester, TypedReply

BURST: Final = 200
AT_ONCE: Final = 40
TIMEOUT_S: Final = 20.0
APPROVED: Final = b'{"approved":true,"limit":250000}'
TOO_HIGH: Final = b'{"error":"the discount is above 30 %"}'
PRICES: Final = b'{"items":412}'
CLOSED: Final = b'{"month":"closed"}'

FLOWS: Final = (
    Flow(name="credit-check", behaviours=(Answer(body=APPROVED, after_s=0.02),)),
    Flow(name="new-contact", behaviours=(Echo(),), body="context"),
    Flow(name="discount", behaviours=(Answer(status=422, body=TOO_HIGH),)),
    Flow(
        name="price-list",
        behaviours=(PlatformError(status=503, code="ServiceUnavailable"),) * 2 + (Answer(body=PRICES),),
    ),
    Flow(name="month-end", behaviours=(Accept(polls=2, retry_after="0.3", then=Answer(body=CLOSED)),)),
    Flow(name="import", behaviours=(PlatformError.no_response(),)),
    Flow(name="overloaded", behaviours=(PlatformError.throttled("600"),)),
    Flow(name="echo", behaviours=(Echo(after_s=0.05),)),
)
ROUTES: Final[tuple[dict[str, object], ...]] = (
    {"flow": "credit-check", "match": {"message": "Update", "table": "account", "stage": 40}},
    {"flow": "new-contact", "match": {"message": "Create", "table": "contact"}},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A Dataverse event, and what must come back. `flow` None: a route decides."""

    title: str
    message: str
    table: str
    attributes: Mapping[str, Value]
    flow: str | None
    target: str  # the flow that should answer, for the eye
    outcome: Outcome
    attempts: int
    is_right_body: Callable[[TypedReply], bool]
    properties: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a question. `wrong` says what differs from what was expected."""

    title: str
    event: str
    target: str
    reply: TypedReply | None
    elapsed_ms: float
    wrong: str | None


def questions() -> list[Question]:
    def question(
        title: str,
        event: str,
        target: str,
        outcome: Outcome,
        is_right_body: Callable[[TypedReply], bool],
        *,
        attempts: int = 1,
        routed: bool = False,
        attributes: Mapping[str, Value] | None = None,
        properties: Mapping[str, int] | None = None,
    ) -> Question:
        message, table = event.split()
        return Question(
            title=title,
            message=message,
            table=table,
            attributes=attributes or {"name": title},
            flow=None if routed else target,
            target=target,
            outcome=outcome,
            attempts=attempts,
            is_right_body=is_right_body,
            properties=properties or {},
        )

    account: dict[str, Value] = {
        "name": "Contoso",
        "creditlimit": Money(value=250_000),
        "industrycode": OptionSetValue(value=12),
    }
    contact: dict[str, Value] = {
        "firstname": "Ann",
        "lastname": "Lee",
        "birthdate": datetime(1990, 5, 17, tzinfo=UTC),
    }
    return [
        question("a success, found by a route", "Update account", "credit-check", Outcome.ANSWERED,
                 _is(APPROVED), routed=True, attributes=account),
        question("the context as plain JSON", "Create contact", "new-contact", Outcome.ANSWERED,
                 _is_plain_contact, routed=True, attributes=contact),
        question("an error of the flow", "Update quote", "discount", Outcome.REFUSED, _is(TOO_HIGH)),
        question("an outage, retried", "Update pricelevel", "price-list", Outcome.ANSWERED, _is(PRICES), attempts=3),
        question("an asynchronous flow", "Update ledger", "month-end", Outcome.ANSWERED, _is(CLOSED)),
        question("a run without Response", "Create lead", "import", Outcome.INDETERMINATE, _is_problem),
        question("a throttled flow", "Update order", "overloaded", Outcome.UNAVAILABLE, _is_retry_later),
        question("a minute late", "Update account", "echo", Outcome.EXPIRED, _is_problem, attempts=0,
                 properties={FIRST_ENQUEUED: int((time.time() - 60 - TIMEOUT_S) * 1000)}),
        question("a flow nobody knows", "Update task", "no-such-flow", Outcome.REJECTED, _is_problem, attempts=0),
    ]  # fmt: skip


async def ask(requester: Requester, question: Question) -> Seen:
    event = sample_row(question.message, question.table, question.attributes, at=datetime.now(UTC), new_id=uuid4)
    conversation, started = str(uuid4()), time.perf_counter()
    reply, wrong = None, None
    try:
        reply = await requester.request(
            write(event, Form.JSON),
            content_type=Form.JSON.content_type,
            flow=question.flow,
            properties={**claimed_with(event), **question.properties},
            correlation_id=conversation,
            timeout_s=TIMEOUT_S,
        )
    except NoReply as missing:
        wrong = str(missing)
    elapsed_ms = (time.perf_counter() - started) * 1000
    return Seen(
        title=question.title,
        event=f"{question.message} {question.table}",
        target=question.target,
        reply=reply,
        elapsed_ms=elapsed_ms,
        wrong=wrong if reply is None else _difference(question, reply, conversation),
    )


async def ask_echo(requester: Requester, number: int) -> Seen:
    """One of many at once: its answer must be its own question."""
    body, conversation, started = f"question {number} {uuid4()}".encode(), str(uuid4()), time.perf_counter()
    reply, wrong = None, None
    try:
        reply = await requester.request(
            body, content_type="text/plain", flow="echo", correlation_id=conversation, timeout_s=TIMEOUT_S
        )
    except NoReply as missing:
        wrong = str(missing)
    if reply is not None and (reply.outcome, reply.body, reply.correlation_id) != (
        Outcome.ANSWERED,
        body,
        conversation,
    ):
        wrong = f"got {reply.outcome.value} with another body or conversation"
    elapsed_ms = (time.perf_counter() - started) * 1000
    return Seen(title=f"echo {number}", event="", target="echo", reply=reply, elapsed_ms=elapsed_ms, wrong=wrong)


def _difference(question: Question, reply: TypedReply, conversation: str) -> str | None:
    if reply.outcome is not question.outcome:
        return f"expected {question.outcome.value}, got {reply.outcome.value}: {reply.body[:200]!r}"
    if reply.correlation_id != conversation:
        return f"expected the conversation {conversation}, got {reply.correlation_id}"
    if reply.attempts != question.attempts:
        return f"expected {question.attempts} attempts, got {reply.attempts}"
    with contextlib.suppress(ValueError, LookupError, TypeError):  # a body of another shape is another body
        if question.is_right_body(reply):
            return None
    return f"got another body: {reply.body[:200]!r}"


def _is(body: bytes) -> Callable[[TypedReply], bool]:
    return lambda reply: reply.body == body


def _is_plain_contact(reply: TypedReply) -> bool:
    attributes = orjson.loads(reply.body)["inputParameters"]["Target"]["attributes"]
    return bool(attributes == {"firstname": "Ann", "lastname": "Lee", "birthdate": "1990-05-17T00:00:00Z"})


def _is_problem(reply: TypedReply) -> bool:
    return reply.content_type == "application/problem+json" and bool(orjson.loads(reply.body))


def _is_retry_later(reply: TypedReply) -> bool:
    return _is_problem(reply) and (reply.retry_after_s or 0) > 500
