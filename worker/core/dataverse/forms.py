"""The three forms of a context: which one a body is in, from it to the typed context, and back."""

from enum import StrEnum
from typing import Any, Final

from worker.core.dataverse.binary_reader import read_binary, root_of_binary
from worker.core.dataverse.binary_writer import write_binary
from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.contracts import ROOT
from worker.core.dataverse.document import ContextBroken, document_text
from worker.core.dataverse.element import Element
from worker.core.dataverse.folding import NAMESPACES, folded
from worker.core.dataverse.json_form import read_json, write_json
from worker.core.dataverse.reader import read_context
from worker.core.dataverse.unfolding import unfolded
from worker.core.dataverse.writer import members_of
from worker.core.dataverse.xml_reader import read_xml, root_of_xml
from worker.core.dataverse.xml_writer import write_xml


class Form(StrEnum):
    JSON = "json"
    XML = "xml"
    MSBIN1 = "msbin1"

    @property
    def content_type(self) -> str:
        return f"application/{self.value}"


FORM_OF: Final = {form.content_type: form for form in Form}
MAX_BODY_BYTES: Final = 1024 * 1024  # five times what Dataverse sends; a hostile one holds up the event loop


def form_of(body: bytes) -> Form | None:
    """By the body's own look; None where it is no context. In JSON only the whole of it shows whether it is one."""
    text, _ = document_text(body)
    if text.lstrip()[:1] == b"{":
        return Form.JSON
    if root_of_xml(text) == ROOT:
        return Form.XML
    return Form.MSBIN1 if root_of_binary(body) == ROOT else None


def parsed(body: bytes, form: Form) -> Any:
    """By its syntax alone: the values of JSON, or the root element. Raises ContextBroken."""
    if len(body) > MAX_BODY_BYTES:
        raise ContextBroken(f"expected a context of at most {MAX_BODY_BYTES:,} bytes, found {len(body):,}")
    text, start = document_text(body)
    if form is Form.JSON:
        return read_json(text, start)
    root = read_xml(text, start) if form is Form.XML else read_binary(body)
    if root.name != ROOT:
        raise ContextBroken(f"expected the element {ROOT}, found {root.name!r:.60}")
    return root


def context_in(document: Any) -> RemoteExecutionContext:
    """`document` is what `parsed` gave. Raises ContextBroken."""
    try:
        if isinstance(document, Element):
            return read_context(unfolded(document), dates_are_texts=False)
        return read_context(document, dates_are_texts=True)
    except RecursionError:
        raise ContextBroken("nested too deeply") from None


def read(body: bytes) -> RemoteExecutionContext:
    """Raises ContextBroken."""
    form = form_of(body)
    if form is None:
        raise ContextBroken("expected a RemoteExecutionContext in JSON, XML or .NET binary XML, found something else")
    return context_in(parsed(body, form))


def write(context: RemoteExecutionContext, form: Form) -> bytes:
    """Raises ContextBroken for what the form can't carry."""
    members = members_of(context)
    match form:
        case Form.JSON:
            return write_json(members)
        case Form.XML:
            return write_xml(folded(members), NAMESPACES)
        case Form.MSBIN1:
            return write_binary(folded(members), NAMESPACES)
