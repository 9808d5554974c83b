"""`flowbridge request`: one question, one answer."""

import base64
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from worker.cli.failure import CommandFailed
from worker.cli.message import body_of, properties_of
from worker.cli.options import AsJson, Config, in_loop, settings_from
from worker.core.dataverse.facts import claimed_with
from worker.core.dataverse.forms import Form, write
from worker.core.dataverse.sample import Sample, sample
from worker.core.outcome import Outcome
from worker.core.redaction import redact
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.requester import TypedReply

STATUS: Final = {
    Outcome.ANSWERED: 0,
    Outcome.REFUSED: 3,
    Outcome.UNAVAILABLE: 4,
    Outcome.INDETERMINATE: 4,
    Outcome.EXPIRED: 5,
    Outcome.REJECTED: 6,
}
NO_REPLY: Final = 5
OPTIONS: Final = {"flow": "--flow", "timeout-s": "--timeout"}  # of properties that the requester writes itself


def request(
    *,
    config: Config = None,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="The flow, where no route decides.")] = None,
    body: Annotated[
        str | None, typer.Option(metavar="TEXT|@FILE|-", help="The body itself, @ a file, or - for stdin.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="The body's content type.")] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="K=V", help="An application property; may be repeated."),
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Seconds to wait for the answer.")] = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Of a request queue with sessions. [default: one of its own]"),
    ] = None,
    reply_queue: Annotated[str | None, typer.Option(metavar="Q", help="Where to be answered.")] = None,
    which: Annotated[
        Sample | None, typer.Option("--sample", help="A Dataverse event made up for the purpose, instead of --body.")
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Of the sample. [default: json]")] = None,
    as_json: AsJson = False,
) -> None:
    """Send one request and wait for its answer: the body to stdout, the outcome to stderr.

    \b
    Examples:
      flowbridge request --flow credit-check --content-type application/json --body '{"amount": 120}'
      flowbridge request --sample create-account --format msbin1

    Exit status: 0 answered, 3 refused, 4 unavailable or indeterminate, 5 expired or no reply in time, 6 rejected.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    arguments: dict[str, Any] = {
        "body": body_of(body or ""),
        "flow": flow,
        "content_type": content_type,
        "properties": properties_of(properties or [], options=OPTIONS),
        "timeout_s": _positive(timeout),
    }
    if which is not None:
        if body is not None:
            raise typer.BadParameter("a sample is a body of its own; give --body or --sample", param_hint="--sample")
        _put_sample(arguments, which, form or Form.JSON)
    elif form is not None:
        raise typer.BadParameter("it is the form of a sample; give --sample too", param_hint="--format")
    settings = settings_from(config, needs_flows=False)
    if settings.servicebus.request_sessions or session is not None:
        arguments["session_id"] = session or str(uuid.uuid4())
    raise typer.Exit(in_loop(_ask(settings, reply_queue, arguments, as_json=as_json)))


async def _ask(settings: Settings, reply_queue: str | None, arguments: dict[str, Any], *, as_json: bool) -> int:
    from worker.cli.caller import requester_of
    from worker.requester import BusRefused, NoReply

    reply = None
    async with requester_of(settings, reply_queue=reply_queue) as requester:
        try:
            reply = await requester.request(**arguments)
        except BusRefused as refused:
            raise CommandFailed(str(refused)) from None
        except NoReply as missing:
            request_id = missing.request_id
            line = f"no reply: {missing}" if missing.sent else str(missing)  # which says why it wasn't sent
        else:
            request_id, line = reply.request_id, _outcome_line(reply)
    typer.echo(redact(line), err=True)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(_facts(reply, request_id)) + b"\n")
    elif reply is not None:
        sys.stdout.buffer.write(reply.body)
    sys.stdout.buffer.flush()
    return NO_REPLY if reply is None else STATUS[reply.outcome]


def _outcome_line(reply: "TypedReply") -> str:
    told = [
        reply.outcome.value,
        None if reply.http_status is None else f"HTTP {reply.http_status}",
        reply.reason,
        None if reply.attempts is None else f"{reply.attempts} attempt{'' if reply.attempts == 1 else 's'}",
        None if reply.elapsed_ms is None else f"{reply.elapsed_ms} ms",
        None if reply.run_id is None else f"run {reply.run_id}",
        None if reply.retry_after_s is None else f"retry after {reply.retry_after_s} s",
    ]
    return " · ".join(part for part in told if part)


def _facts(reply: "TypedReply | None", request_id: str) -> dict[str, Any]:
    """`correlation_id` is the reply message's own: the id of the request. All else is null without a reply."""
    names = ("outcome", "http_status", "attempts", "elapsed_ms", "run_id", "content_type")
    facts: dict[str, Any] = {name: getattr(reply, name, None) for name in names}
    facts["body"] = None
    if reply is not None:
        try:
            facts["body"] = reply.body.decode()
        except UnicodeDecodeError:
            facts["body"], facts["body_encoding"] = base64.b64encode(reply.body).decode(), "base64"
    return {**facts, "correlation_id": request_id}


def _put_sample(arguments: dict[str, Any], which: Sample, form: Form) -> None:
    """As Dataverse sends it; what the command line says wins."""
    event = sample(which, at=datetime.now(UTC), new_id=uuid.uuid4)
    arguments["body"] = write(event, form)
    arguments["content_type"] = arguments["content_type"] or form.content_type
    arguments["properties"] = {**claimed_with(event), **arguments["properties"]}


def _positive(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"expected a positive number of seconds, got {seconds:g}", param_hint="--timeout")
    return seconds
