"""What a flow is called with: body, content type and query."""

from dataclasses import dataclass, field
from typing import Any, Final, assert_never

import orjson

from worker.core.dataverse.changes import TARGET, target_of
from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.document import BOM, ContextBroken
from worker.core.dataverse.forms import read
from worker.core.dataverse.json_form import dump, number
from worker.core.dataverse.plain import plain_attributes, plain_context, write_plain
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Reason, Rejected
from worker.core.query import Query, encoded
from worker.core.request import Request
from worker.core.template import TemplateFails, render
from worker.core.template_values import values_of

MOST_URL_CHARACTERS: Final = 8_000  # servers and gateways stop reading a request line at 8,190 bytes
_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_INSTEAD: Final = "Write target['name'] for a member that may be missing, use $if, or route such requests elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """No body for a method that sends none. `query` may hold what nobody else should read."""

    body: bytes | None
    content_type: str | None
    query: Query = field(default=(), repr=False)


class _Unfit(ValueError):
    """Why the flow can't be called with the request."""

    def __init__(self, detail: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(detail)
        self.reason = reason


def content_for(request: Request, flow: FlowSpec, *, first_enqueued_ms: int) -> Content | Rejected:
    """The same for every try of a request."""
    is_templated = flow.query or (flow.body_template is not None and flow.sends_body)
    try:
        values = values_of(request, first_enqueued_ms=first_enqueued_ms) if is_templated else {}
        body, content_type = _body(request, flow, values) if flow.sends_body else (None, None)
        return Content(body=body, content_type=content_type, query=_query(flow, values))
    except ContextBroken as broken:
        return _rejected(f"flow {flow.name} can't be called with this request: {broken}")
    except _Unfit as unfit:
        return _rejected(str(unfit), unfit.reason)


def _rejected(detail: str, reason: Reason = Reason.MALFORMED) -> Rejected:
    return Rejected(reason=reason, detail=detail)


def _body(request: Request, flow: FlowSpec, values: dict[str, Any]) -> tuple[bytes, str]:
    body, content_type = _unchecked(request, flow, values)
    fault = None if flow.request_schema is None else flow.request_schema.fault(body)
    if fault is not None:
        raise _Unfit(f"the body for flow {flow.name} breaks its schema {fault}")
    return body, content_type


def _unchecked(request: Request, flow: FlowSpec, values: dict[str, Any]) -> tuple[bytes, str]:
    if flow.body_template is not None:
        return dump(_rendered("body_template", flow.body_template, values), default=number), _JSON
    match flow.body:
        case "message":
            return request.body, request.content_type or _guessed(request.body)
        case "context":
            return write_plain(plain_context(_context(request, flow))), _JSON
        case "target":
            return write_plain(_target(_context(request, flow), request, flow)), _JSON
    assert_never(flow.body)


def _context(request: Request, flow: FlowSpec) -> RemoteExecutionContext:
    if request.event is not None:
        return request.event.context()
    try:
        read(request.body)
        why = f"it came as {request.content_type!r:.80}"
    except ContextBroken as broken:
        why = str(broken)
    raise _Unfit(
        f'flow {flow.name} takes Dataverse events (body = "{flow.body}"), and this is none: {why}. '
        "Send a RemoteExecutionContext as application/json, application/xml or application/msbin1, "
        'or route such requests to a flow with body = "message"'
    )


def _target(context: RemoteExecutionContext, request: Request, flow: FlowSpec) -> Any:
    row = target_of(context)
    if row is not None:
        return plain_attributes(row)
    why = "Dataverse took it out of a message above its size limit" if request.is_truncated else "it brings none"
    about = f"{context.message_name:.80} of {context.primary_entity_name or 'no table':.80}"
    raise _Unfit(
        f'flow {flow.name} takes the {TARGET} row (body = "target") of an event, but of this {about} {why}. '
        'Route it to another flow, or set body = "context"'
    )


def _query(flow: FlowSpec, values: dict[str, Any]) -> Query:
    """Without the parameters that come to nothing."""
    if not flow.query:
        return ()
    texts = ((name, str(_rendered(f"query.{name}", template, values))) for name, template in flow.query)
    query = tuple((name, text) for name, text in texts if text)
    try:
        length = len(flow.url) + 1 + len(encoded(query))
    except UnicodeEncodeError:
        raise _Unfit(f"the query for flow {flow.name}: a text in it holds one half of a surrogate pair") from None
    if query and length > MOST_URL_CHARACTERS:
        raise _Unfit(
            f"the URL for flow {flow.name} would have {length:,} characters, above {MOST_URL_CHARACTERS:,}. "
            "Send such texts in a body",
            Reason.TOO_LARGE,
        )
    return query


def _rendered(key: str, template: Any, values: dict[str, Any]) -> Any:
    try:
        return render(template, values)
    except TemplateFails as failed:
        instead = f". {_INSTEAD}" if failed.is_missing else ""
        raise _Unfit(f"{key}{failed}{instead}") from None


def _guessed(body: bytes) -> str:
    try:
        orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return _BINARY
    return _JSON
