"""A message that is a Dataverse event: recognised by content type or claims, understood as far as somebody asks."""

from collections.abc import Mapping
from typing import Any

import orjson

from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.document import ContextBroken, document_text
from worker.core.dataverse.facts import EventFacts, claims_of, completed, facts_of
from worker.core.dataverse.forms import FORM_OF, Form, form_of, read_members
from worker.core.dataverse.json_form import not_json
from worker.core.dataverse.reader import read_context
from worker.core.delivery import PropertyValue


class Event:
    """`facts` are at hand; the whole context is read when it is first asked for, and kept."""

    __slots__ = ("_body", "_context", "_form", "_members", "facts")

    def __init__(self, facts: EventFacts, body: bytes, form: Form | None = None, members: Any = None) -> None:
        self.facts = facts
        self._body = body
        self._form = form
        self._members = members
        self._context: RemoteExecutionContext | None = None

    def context(self) -> RemoteExecutionContext:
        """Raises ContextBroken."""
        if self._context is None:
            if self._form is None:
                raise ContextBroken("the body is no RemoteExecutionContext in JSON, XML or .NET binary XML")
            members = read_members(self._body, self._form) if self._members is None else self._members
            self._context = read_context(members)
        return self._context


def recognised(body: bytes, content_type: str | None, properties: Mapping[str, PropertyValue]) -> Event | None:
    """None for any other body, which is nobody's business but the flow's.

    Raises ContextBroken where claims, or the root of an XML document, say that it is a context, and it can't be read.
    """
    claims = claims_of(properties)
    declared = FORM_OF.get((content_type or "").partition(";")[0].strip().lower())
    if claims is None and declared is None:
        return None
    form = form_of(body)
    if claims is None:
        if form is None:
            return None
        if form is Form.JSON:
            return _told_by_its_members(body)
    if form is None and declared is None:
        return Event(claims or EventFacts(), body)
    facts, members = _facts(body, form or declared or Form.JSON)
    return Event(completed(facts, claims), body, form, members)


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
    """With the members, where they are as good as what a context is read from."""
    if form is not Form.JSON:
        members = read_members(body, form)
        return facts_of(members), members
    text, start = document_text(body)
    try:
        return facts_of(orjson.loads(text)), None  # ten times faster, with floats instead of Decimals
    except orjson.JSONDecodeError as broken:
        raise ContextBroken(not_json(text, start, broken)) from None
