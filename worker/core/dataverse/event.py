"""A message that is a Dataverse event: recognised by content type or claims, understood as far as somebody asks."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.document import ContextBroken, document_text
from worker.core.dataverse.facts import FACT_MEMBERS, EventFacts, claims_of, completed, facts_of
from worker.core.dataverse.forms import FORM_OF, MAX_BODY_BYTES, Form, context_in, form_of, parsed
from worker.core.dataverse.json_form import not_json
from worker.core.dataverse.unfolding import outline_of
from worker.core.delivery import PropertyValue


class Event:
    """`facts` are at hand; the whole context is read when it is first asked for, and kept until `forget`."""

    __slots__ = ("_body", "_context", "_document", "_form", "facts")

    def __init__(self, facts: EventFacts, body: bytes, form: Form | None = None, document: Any = None) -> None:
        self.facts = facts
        self._body = body
        self._form = form
        self._document = document
        self._context: RemoteExecutionContext | None = None

    def context(self) -> RemoteExecutionContext:
        """Raises ContextBroken."""
        if self._context is None:
            if self._form is None:
                raise ContextBroken("the body is no RemoteExecutionContext in JSON, XML or .NET binary XML")
            document = parsed(self._body, self._form) if self._document is None else self._document
            self._context, self._document = context_in(document), None
        return self._context

    def forget(self) -> None:
        """Keep the facts alone: what can be read again is some forty times the body's size."""
        self._context = self._document = None


def media_type_of(content_type: str | None) -> str:
    """Empty where there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def recognised(body: bytes, content_type: str | None, properties: Mapping[str, PropertyValue]) -> Event | None:
    """None for any other body, which is nobody's business but the flow's.

    A message without a content type is judged by its look. Raises ContextBroken where the claims, or the root of an
    XML document, say that it is a context, and it can't be read.
    """
    claims, media_type = claims_of(properties), media_type_of(content_type)
    declared = FORM_OF.get(media_type)
    if claims is None and media_type and declared is None:
        return None
    form = form_of(body)
    is_large = len(body) > MAX_BODY_BYTES
    if claims is not None:
        claimed = form or declared
        if is_large or claimed is None:
            return Event(claims, body, form)
        facts, document = _facts(body, claimed)
        return Event(completed(facts, claims), body, claimed, document)
    if form is None or form is not (declared or form) or is_large:
        return None
    if form is Form.JSON:
        return _told_by_its_members(body)
    facts, document = _facts(body, form)
    return Event(facts, body, form, document)


def _told_by_its_members(body: bytes) -> Event | None:
    """JSON of any kind comes under one content type."""
    if b'"MessageName"' not in body:
        return None
    try:
        facts, _ = _facts(body, Form.JSON)
    except ContextBroken:
        return None
    return Event(facts, body, Form.JSON)


def _facts(body: bytes, form: Form) -> tuple[EventFacts, Any]:
    """With the document, where it is as good as what a context is read from."""
    if form is not Form.JSON:
        document = parsed(body, form)
        return facts_of(outline_of(document, FACT_MEMBERS)), document
    text, start = document_text(body)
    try:
        return facts_of(orjson.loads(text)), None  # ten times faster, with floats instead of Decimals
    except orjson.JSONDecodeError as broken:
        return facts_of(_loosely_read(text, start, broken)), None


def _loosely_read(text: bytes, start: int, broken: ValueError) -> Any:
    """.NET writes half a surrogate pair as it is, and NaN bare. The facts are there all the same."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ContextBroken(not_json(text, start, broken)) from None
