"""What routing may look at of an event: from the context where it is JSON, else from the Claims properties."""

from collections.abc import Mapping
from dataclasses import fields, replace

import orjson

from worker.core.dataverse.document import ContextBroken, document_text
from worker.core.delivery import PropertyValue
from worker.core.request import EventFacts

CLAIMS = "http://schemas.microsoft.com/xrm/2011/Claims/"
_STRIPPED_FOR_SIZE = "messagemaxsizeexceeded"
# A context that Dataverse stripped for size has lost its parameters and images, never these.
_NAMES_OF_A_CONTEXT = frozenset(("PrimaryEntityName", "Stage", "OperationId", "OrganizationId", "InputParameters"))


def claims_of(properties: Mapping[str, PropertyValue]) -> EventFacts | None:
    """The sender's claims, which nobody has signed; None where there are none."""
    claims = {name.removeprefix(CLAIMS): value for name, value in properties.items() if name.startswith(CLAIMS)}
    if not claims:
        return None

    def text(name: str) -> str | None:
        value = claims.get(name)
        return None if value is None or value == "" else str(value)

    return EventFacts(
        message=text("RequestName"),
        table=text("EntityLogicalName"),
        organization=text("Organization"),
        user=text("User"),
    )


def is_stripped(properties: Mapping[str, PropertyValue]) -> bool:
    """Whether Dataverse took the parameters and images out because the message was over its size limit."""
    return any(name.lower().endswith(_STRIPPED_FOR_SIZE) for name in properties)


def facts_of(body: bytes) -> EventFacts:
    """Raises ContextBroken for a body that isn't a RemoteExecutionContext in JSON."""
    text, start = document_text(body)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise ContextBroken(_where(text, start, broken)) from None
    if not isinstance(document, dict):
        raise ContextBroken(f"expected a JSON object, found {_kind(document)}")
    if not isinstance(document.get("MessageName"), str) or _NAMES_OF_A_CONTEXT.isdisjoint(document):
        raise ContextBroken("expected a RemoteExecutionContext: a MessageName, its PrimaryEntityName, Stage and so on")
    table = _text(document, "PrimaryEntityName")
    return EventFacts(
        message=_text(document, "MessageName"),
        table=None if table == "none" else table,
        stage=_integer(document, "Stage"),
        mode=_integer(document, "Mode"),
        depth=_integer(document, "Depth"),
        organization=_text(document, "OrganizationName"),
        user=_text(document, "UserId"),
    )


def completed(facts: EventFacts, claims: EventFacts | None) -> EventFacts:
    """What the context says; what it leaves open, as claimed."""
    if claims is None:
        return facts
    missing = [field.name for field in fields(facts) if getattr(facts, field.name) is None]
    return replace(facts, **{name: getattr(claims, name) for name in missing})


def _where(text: bytes, start: int, broken: orjson.JSONDecodeError) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as not_utf8:
        return f"expected UTF-8, found byte 0x{text[not_utf8.start]:02x} at byte {start + not_utf8.start}"
    offset = start + len(broken.doc[: broken.pos].encode())  # the parser counts characters
    return f"not JSON at byte {offset}: {broken.msg}"


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ContextBroken(f"{name}: expected a string, found {_kind(value)}")
    return value


def _integer(document: Mapping[str, object], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ContextBroken(f"{name}: expected an integer, found {_kind(value)}")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
