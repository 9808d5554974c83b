"""What templates can say of a request."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from worker.core.dataverse.changes import target_of
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.forms import MAX_BODY_BYTES
from worker.core.dataverse.json_form import read_json
from worker.core.dataverse.plain import plain_attributes, plain_context
from worker.core.decode import text_of
from worker.core.request import Request

_MOST_DEPTH: Final = 200  # of a body of any kind; what is deeper can't be written again
_MOST_DIGITS: Final = 18  # of an int that JSON readers take
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def values_of(request: Request, *, first_enqueued_ms: int) -> dict[str, Any]:
    """An event's members and `target`, another body as `body`, and `request` of both. Raises ContextBroken.

    `now` is when the request was first enqueued, so that a further try of it says the same.
    """
    return {**_content(request), "request": _request(request), "now": _now(first_enqueued_ms)}


def _content(request: Request) -> dict[str, Any]:
    if request.event is None:
        if len(request.body) > MAX_BODY_BYTES:
            raise ContextBroken(f"templates see bodies of at most {MAX_BODY_BYTES:,} bytes, not {len(request.body):,}")
        try:
            return {"body": _usable(read_json(request.body, 0))}
        except ContextBroken:
            return {}
    context = request.event.context()
    values: dict[str, Any] = dict(plain_context(context))
    if (row := target_of(context)) is not None:
        values["target"] = plain_attributes(row)
    return {name: _usable(value) for name, value in values.items()}


def _request(request: Request) -> dict[str, Any]:
    texts = ((name, text_of(value)) for name, value in request.properties.items())
    return {
        "id": request.request_id,
        "correlationId": request.correlation_id,
        "subject": request.subject,
        "contentType": request.content_type,
        "properties": {name: text for name, text in texts if text is not None},
    }


def _now(first_enqueued_ms: int) -> str:
    """In the one form from which json-e's fromNow counts on."""
    instant = _EPOCH + timedelta(milliseconds=max(0, first_enqueued_ms))  # a sender may claim any
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _usable(value: Any, depth: int = _MOST_DEPTH) -> Any:
    """json-e counts with ints and floats; a Decimal that has more digits than one stays as it is.

    A whole amount is an int whichever form it came in: XML writes its decimal places, JSON often doesn't.
    """
    if depth < 0:
        raise ContextBroken("nested too deeply")
    match value:
        case dict():
            return {name: _usable(member, depth - 1) for name, member in value.items()}
        case list():
            return [_usable(item, depth - 1) for item in value]
        case Decimal() if value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
            return int(value)
        case Decimal():
            as_float = float(value)
            return as_float if Decimal(repr(as_float)) == value else value
        case _:
            return value
