"""What a message is to the worker, for a person: which Dataverse event, or why none."""

from typing import Any, Final

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.event import Event, media_type_of
from worker.core.dataverse.facts import facts_of
from worker.core.dataverse.forms import FORM_OF, Form, form_of, parsed
from worker.core.request import Request

_STAGES: Final = {
    10: "before the main operation and its transaction",
    20: "before the main operation, in its transaction",
    30: "the main operation",
    40: "after the main operation",
}
_MODES: Final = {0: "synchronous", 1: "asynchronous"}


def facts(event: Event) -> dict[str, Any]:
    """`others`: members of the context that aren't known here; `unread`: why the context can't be read."""
    said = event.facts
    told = {
        "message": said.message,
        "table": said.table,
        "stage": said.stage,
        "mode": said.mode,
        "depth": said.depth,
        "organization": said.organization,
        "organization_id": said.organization_id,
        "user": said.user,
        "initiating_user": said.initiating_user,
        "custom_api": said.custom_api,
    }
    try:
        return {**told, "others": sorted(event.context().others), "unread": None}
    except ContextBroken as broken:
        return {**told, "others": [], "unread": str(broken)}


def lines(told: dict[str, Any]) -> list[str]:
    """What `facts` told."""
    said = dict(told)
    message, table = said.pop("message") or "an unnamed message", said.pop("table")
    others, unread = ", ".join(said.pop("others")), said.pop("unread")
    said["stage"] = _in_words(said["stage"], _STAGES)
    said["mode"] = _in_words(said["mode"], _MODES)
    return [
        f"event: {message}{f' of {table}' if table else ''}",
        *(f"  {name.replace('_', ' ')}: {value}" for name, value in said.items() if value is not None),
        *([f"  members not known here: {others}"] if others else []),
        *([f"  beyond these facts it can't be read: {unread}"] if unread else []),
    ]


def why_no_event(request: Request) -> str:
    media_type = media_type_of(request.content_type)
    if media_type and media_type not in FORM_OF:
        return (
            f"its content type is {media_type}, a context's is one of {', '.join(FORM_OF)}, and no claims are beside it"
        )
    if form_of(request.body) is not Form.JSON:
        return "the body is no RemoteExecutionContext in JSON, XML or .NET binary XML"
    try:
        facts_of(parsed(request.body, Form.JSON))
    except ContextBroken as broken:
        return str(broken)
    return f"the body is not {media_type}"


def _in_words(number: int | None, words: dict[int, str]) -> str | None:
    return f"{number} ({words[number]})" if number in words else None if number is None else str(number)
