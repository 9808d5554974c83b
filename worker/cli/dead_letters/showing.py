"""`flowbridge dead-letters show`: one of them, with all that it holds."""

import base64
import json
import sys
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from worker.cli.dead_letters.options import OfRetryQueue, Place, Queue
from worker.cli.dead_letters.words import moment, say
from worker.cli.failure import CommandFailed
from worker.cli.options import AsJson, Config, in_loop, settings_from
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.event import Event
from worker.core.dataverse.plain import plain_context, write_plain
from worker.core.dead_letters.letter import DESCRIPTION, REASON, FlowsSpec, letter_of
from worker.core.decode import decode, request_id_of
from worker.core.delivery import Delivery, PropertyValue
from worker.core.outcome import Rejected
from worker.core.redaction import redact
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.servicebus.connect import Source
    from worker.servicebus.dead_letters import Browser, Peeked


def show(  # noqa: PLR0917 - typer's signature
    which: Annotated[
        str, typer.Argument(metavar="NUMBER-OR-ID", help="Its sequence number, or message or request id.")
    ],
    config: Config = None,
    queue: Queue = None,
    of_retry_queue: OfRetryQueue = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the body's bytes, nothing else, as they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why it is one, its headers and properties, and its body, a Dataverse context as plain JSON.

    Secrets are left out, but for --raw. Locks and changes nothing.

    \b
    Examples:
      flowbridge dead-letters show 4711 --config flowbridge.toml
      flowbridge dead-letters show 9f3c6a1e-7a1e-4a53-8a5a-6a7b1f0f2d11 --raw > body.json

    Exit status: 0, 1 where there is no such dead letter or it can't be read, 2 wrong options or settings.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    logs.configure("error")
    place = Place(queue=queue, is_retry_queue=of_retry_queue)
    settings = settings_from(config, needs_flows=False)
    in_loop(_show(settings, place, which, raw=raw, as_json=as_json))


async def _show(settings: Settings, place: Place, which: str, *, raw: bool, as_json: bool) -> None:
    from worker.cli.dead_letters.source import bus_of, flows_of, source_of
    from worker.servicebus.dead_letters import Browser, dead_letters_of

    source = source_of(settings, place)
    async with bus_of(settings) as bus, Browser(bus, dead_letters_of(source)) as browser:
        found = await _found(browser, which, source)
    if raw:
        if found.delivery.body is None:
            raise CommandFailed("Its body is an AMQP sequence or value, which has no bytes of its own.")
        sys.stdout.buffer.write(found.delivery.body)
        sys.stdout.buffer.flush()
        return
    told = _facts(found, flows_of(settings))
    if as_json:
        typer.echo(redact(json.dumps(told)))  # what is told may hold what orjson takes for no text
        return
    for line in _lines(told):
        say(line)


async def _found(browser: "Browser", which: str, source: "Source") -> "Peeked":
    """A number is a sequence number, unless there is none such: ids may be numbers, too."""
    from worker.servicebus.failures import Unreadable

    if which.isascii() and which.isdecimal() and 0 < int(which) < 2**63:
        try:
            found = await browser.at(int(which))
        except Unreadable:
            raise CommandFailed(f"The bus SDK can't decode number {which}: look at it with another tool.") from None
        if found is not None:
            return found
    same = [
        each
        async for page in browser.pages()
        for each in page.messages
        if which in {each.delivery.message_id, request_id_of(each.delivery)}
    ]
    if not same:
        raise CommandFailed(f"There is no dead letter {which!r:.100} of {source}. See 'flowbridge dead-letters list'.")
    if len(same) > 1:
        numbers = ", ".join(str(each.delivery.sequence_number) for each in same[:10])
        raise CommandFailed(f"{len(same)} dead letters have this id. Name one by its sequence number: {numbers}.")
    return same[0]


def _facts(found: "Peeked", flows: FlowsSpec) -> dict[str, Any]:
    """`context` is null where the body is no Dataverse event; `body` is text, or base64 as `body_encoding` says."""
    delivery = found.delivery
    letter = letter_of(delivery, flows)
    return {
        "sequence_number": delivery.sequence_number,
        "message_id": delivery.message_id,
        "request_id": letter.request_id,
        "reason": letter.reason,
        "description": letter.description,
        "flow": letter.flow,
        "may_have_run": letter.may_have_run,
        "enqueued": moment(delivery.enqueued_time_ms),
        "delivery_count": delivery.delivery_count,
        "dead_letter_source": found.dead_letter_source,
        "correlation_id": delivery.correlation_id,
        "session_id": delivery.session_id,
        "reply_to": delivery.reply_to,
        "reply_to_session_id": delivery.reply_to_session_id,
        "content_type": delivery.content_type,
        "subject": delivery.subject,
        "to": delivery.to,
        "partition_key": delivery.partition_key,
        "time_to_live_s": delivery.time_to_live_s,
        "properties": {
            name: _plain(value) for name, value in delivery.properties.items() if name not in {REASON, DESCRIPTION}
        },
        **_content(delivery),
    }


def _content(delivery: Delivery) -> dict[str, Any]:
    request = decode(delivery)
    event = None if isinstance(request, Rejected) else request.event
    unread = request.detail if isinstance(request, Rejected) else None
    context = None
    if event is not None:
        try:
            context = _context(event)
        except ContextBroken as broken:
            unread = f"the Dataverse context can't be read: {broken}"
    body: dict[str, Any] = {"body": None}
    if context is None and delivery.body is not None:
        try:
            body = {"body": delivery.body.decode()}
        except UnicodeDecodeError:
            body = {"body": base64.b64encode(delivery.body).decode(), "body_encoding": "base64"}
    size_bytes = None if delivery.body is None else len(delivery.body)
    return {"body_bytes": size_bytes, "unread": unread, "context": context, **body}


def _context(event: Event) -> Any:
    """Its numbers as they come, for JSON that no flow depends on."""
    return json.loads(write_plain(plain_context(event.context())))


def _plain(value: PropertyValue) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case float() if not isfinite(value):
            return str(value)
        case _:
            return value


def _lines(told: dict[str, Any]) -> list[str]:
    said = dict(told)
    properties, context, body = said.pop("properties"), said.pop("context"), said.pop("body")
    encoding = said.pop("body_encoding", None)
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in said.items() if value is not None]
    lines += [f"property {name}: {value}" for name, value in properties.items()]
    if context is not None:
        return [*lines, "context:", *json.dumps(context, indent=2, ensure_ascii=False).splitlines()]
    if encoding is not None:
        return [*lines, "body: no text (--raw writes its bytes)"]
    return lines if body is None else [*lines, "body:", *body.splitlines()]
