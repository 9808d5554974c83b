"""`flowbridge route`: where would this message go, and why? Nothing is sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from worker.cli import event_words
from worker.cli.message import body_of, properties_of
from worker.cli.options import AsJson, Config, settings_from
from worker.cli.request import STATUS
from worker.core.admission import refusal
from worker.core.content import content_for
from worker.core.dataverse.document import ContextBroken
from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.explanation import Explanation, explained
from worker.core.match import ContextStripped
from worker.core.outcome import Outcome, Rejected
from worker.core.redaction import redact
from worker.core.request import Request
from worker.core.route import RouteRule, flow_for, tried
from worker.settings import Settings


def route(
    *,
    config: Config = None,
    body: Annotated[str, typer.Option(metavar="TEXT|@FILE|-", help="The body itself, @ a file, or - for stdin.")] = "",
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="The body's content type.")] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="K=V", help="An application property; may be repeated."),
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="TEXT", help="The message's subject.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which flow a message would go to and why, route by route. Nothing is sent or called.

    \b
    Example:
      flowbridge route --config flowbridge.toml --body @event.json --content-type application/json

    Exit status: 0 a flow would be called with it, 6 it is rejected.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    content = body_of(body)
    given = properties_of(properties or [], options={})
    settings = settings_from(config)
    dry_run = _dry_run(settings, _delivery(content, content_type, given, subject))
    if as_json:
        typer.echo(redact(json.dumps(_facts(dry_run))))  # arguments may hold what orjson takes for no text
    else:
        for line in _lines(dry_run):
            typer.echo(redact(line if line.isprintable() else repr(line)[1:-1]))
    raise typer.Exit(STATUS[Outcome.REJECTED] if dry_run.rejected else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One route: `told` is what kept it from matching, None where it matched or wasn't looked at."""

    flow: str
    is_looked_at: bool = True
    told: Explanation | str | None = None

    @property
    def is_matched(self) -> bool:
        return self.is_looked_at and self.told is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _DryRun:
    """`event` is what `event_words.facts` tells, `no_event` why there is none.

    `rejected`, too, where the flow that it would go to can't be called with it.
    """

    steps: Sequence[_Step]
    flow: str | None
    rejected: Rejected | None
    event: dict[str, Any] | None = None
    no_event: str | None = None
    named: str | None = None  # by the property flow


def _dry_run(settings: Settings, delivery: Delivery) -> _DryRun:
    rules, request = settings.route_rules(), decode(delivery)
    if isinstance(request, Rejected):
        return _DryRun(steps=_unseen(rules), flow=None, rejected=request, no_event="it can't be decoded")
    admission = settings.dataverse.admission()
    flow = flow_for(request, rules, settings.flow_specs(), admission)
    is_admitted = refusal(request.event, admission) is None
    content = flow if isinstance(flow, Rejected) else content_for(request, flow, first_enqueued_ms=0)
    return _DryRun(
        steps=_steps(rules, request) if is_admitted else _unseen(rules),
        flow=None if isinstance(flow, Rejected) else flow.name,
        rejected=content if isinstance(content, Rejected) else None,
        event=None if request.event is None else event_words.facts(request.event),
        no_event=event_words.why_no_event(request) if request.event is None else None,
        named=request.flow_name,
    )


def _steps(rules: Sequence[RouteRule], request: Request) -> list[_Step]:
    steps: list[_Step] = []
    try:
        for rule, mismatch in tried(rules, request):
            steps.append(_Step(flow=rule.flow, told=None if mismatch is None else explained(mismatch, request)))
    except (ContextBroken, ContextStripped):
        steps.append(_Step(flow=rules[len(steps)].flow, told="it looks at columns, which can't be read"))
    return [*steps, *_unseen(rules[len(steps) :])]


def _unseen(rules: Sequence[RouteRule]) -> list[_Step]:
    return [_Step(flow=rule.flow, is_looked_at=False) for rule in rules]


def _facts(dry_run: _DryRun) -> dict[str, Any]:
    """`matched` is null of a route that wasn't looked at, or that nobody can tell."""
    rejected = dry_run.rejected
    return {
        "event": dry_run.event,
        "routes": [_route_facts(step) for step in dry_run.steps],
        "flow": dry_run.flow,
        "reason": rejected and rejected.reason,
        "detail": rejected and rejected.detail,
    }


def _route_facts(step: _Step) -> dict[str, Any]:
    failed = step.told if isinstance(step.told, Explanation) else None
    return {
        "flow": step.flow,
        "matched": step.is_matched if failed or step.is_matched else None,
        "condition": failed and failed.condition,
        "wanted": failed and failed.wanted,
        "found": failed and failed.found,
    }


def _lines(dry_run: _DryRun) -> list[str]:
    event = [f"event: none: {dry_run.no_event}"] if dry_run.event is None else event_words.lines(dry_run.event)
    routes = [f"routes[{index}] → {step.flow}: {_told(step)}" for index, step in enumerate(dry_run.steps)]
    flow = [] if dry_run.flow is None else [f"flow: {dry_run.flow} ({_chosen_by(dry_run)})"]
    rejected = dry_run.rejected
    return [*event, *routes, *flow, *([f"rejected: {rejected.reason}: {rejected.detail}"] if rejected else [])]


def _told(step: _Step) -> str:
    if not step.is_looked_at:
        return "not looked at"
    return "matched" if step.told is None else f"not taken, {step.told}"


def _chosen_by(dry_run: _DryRun) -> str:
    matched = [f"routes[{index}]" for index, step in enumerate(dry_run.steps) if step.is_matched]
    if matched:
        return matched[0]
    return "no route matched; the property flow names it" if dry_run.named else "no route matched; it is the only flow"


def _delivery(body: bytes, content_type: str | None, properties: dict[str, str], subject: str | None) -> Delivery:
    return Delivery(
        lock_token="",
        sequence_number=0,
        delivery_count=0,
        enqueued_at=0.0,
        enqueued_time_ms=0,
        locked_until=0.0,
        message_id=None,
        correlation_id=None,
        session_id=None,
        reply_to=None,
        reply_to_session_id=None,
        content_type=content_type or None,
        subject=subject or None,
        to=None,
        partition_key=None,
        time_to_live_s=None,
        body=body,
        properties=properties,
    )
