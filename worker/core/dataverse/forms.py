"""The three forms of a context: which one a body is in, from it to members, and back."""

from enum import StrEnum
from typing import Any, Final

from worker.core.dataverse.binary_reader import read_binary
from worker.core.dataverse.binary_writer import write_binary
from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.document import ContextBroken, document_text
from worker.core.dataverse.folding import NAMESPACES, folded
from worker.core.dataverse.json_form import read_json, write_json
from worker.core.dataverse.reader import read_context
from worker.core.dataverse.unfolding import ROOT, unfolded
from worker.core.dataverse.writer import members_of
from worker.core.dataverse.xml_reader import read_xml
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
_HEAD_BYTES = 400  # within them a context names its root: comments and string tables are short
_ROOTS = tuple(ROOT.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def form_of(body: bytes) -> Form | None:
    """By the body's own look; None where it is no context. In JSON only the whole of it shows whether it is one."""
    text, _ = document_text(body)
    head = text[:_HEAD_BYTES].lstrip()
    if head.startswith(b"{"):
        return Form.JSON
    if not any(root in head for root in _ROOTS):
        return None
    return Form.XML if head.startswith((b"<", b"\xff\xfe", b"\xfe\xff")) else Form.MSBIN1


def read_members(body: bytes, form: Form) -> Any:
    """Members in the shape of JSON, before their contracts are looked at. Raises ContextBroken."""
    if len(body) > MAX_BODY_BYTES:
        raise ContextBroken(f"expected a context of at most {MAX_BODY_BYTES:,} bytes, found {len(body):,}")
    text, start = document_text(body)
    try:
        match form:
            case Form.JSON:
                return read_json(text, start)
            case Form.XML:
                return unfolded(read_xml(text, start))
            case Form.MSBIN1:
                return unfolded(read_binary(body))
    except RecursionError:
        raise ContextBroken("nested too deeply") from None


def read(body: bytes) -> RemoteExecutionContext:
    """Raises ContextBroken."""
    form = form_of(body)
    if form is None:
        raise ContextBroken("expected a RemoteExecutionContext in JSON, XML or .NET binary XML, found something else")
    return read_context(read_members(body, form))


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
