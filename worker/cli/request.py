"""`flowbridge request`: one question, one answer."""

import base64
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from worker.cli.failure import CommandFailed
from worker.cli.options import AsJson, Config, in_loop, settings_from
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
    body: Annotated[str, typer.Option(metavar="TEXT|@FILE|-", help="The body itself, @ a file, or - for stdin.")] = "",
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
    as_json: AsJson = False,
) -> None:
    """Send one request and wait for its answer: the body to stdout, the outcome to stderr.

    \b
    Example:
      flowbridge request --flow credit-check --content-type application/json --body '{"amount": 120}'

    Exit status: 0 answered, 3 refused, 4 unavailable or indeterminate, 5 expired or no reply in time, 6 rejected.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    arguments: dict[str, Any] = {
        "body": _body(body),
        "flow": flow,
        "content_type": content_type,
        "properties": _properties(properties or []),
        "timeout_s": _positive(timeout),
    }
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
            request_id, line = missing.request_id, f"no reply: {missing}"
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


def _body(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as failed:
        raise typer.BadParameter(f"{text[1:]}: {failed.strerror}", param_hint="--body") from None


def _properties(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise typer.BadParameter(f"expected NAME=VALUE, got {pair!r}", param_hint="--property")
        if name in OPTIONS:
            raise typer.BadParameter(f"{name} is set with {OPTIONS[name]}", param_hint="--property")
        found[name] = value
    return found


def _positive(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"expected a positive number of seconds, got {seconds:g}", param_hint="--timeout")
    return seconds
