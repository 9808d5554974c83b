"""Elements to XML as .NET writes it: no declaration, no white space between elements."""

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import Element, lexical

# XML 1.0 has no way to write these, not even as a character reference.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_xml(root: Element, namespaces: Mapping[str, str]) -> bytes:
    """Raises ContextBroken for a text that XML can't carry."""
    declared = "".join(f" xmlns{prefix and ':'}{prefix}={quoteattr(uri)}" for prefix, uri in namespaces.items())
    parts: list[str] = []
    _write(root, declared, parts)
    return "".join(parts).encode()


def _write(element: Element, declared: str, parts: list[str]) -> None:
    kind = "" if element.type is None else f" i:type={quoteattr(element.type)}"
    nil = ' i:nil="true"' if element.is_nil else ""
    text = "" if element.text is None else _escaped(element.name, lexical(element.text))
    parts.append(f"<{element.name}{kind}{nil}{declared}>{text}")
    for child in element.children:
        _write(child, "", parts)
    parts.append(f"</{element.name}>")


def _escaped(name: str, text: str) -> str:
    if (found := _FORBIDDEN.search(text)) is not None:
        raise ContextBroken(f"{name}: XML can't carry the character U+{ord(found.group()):04X}")
    return escape(text, {"\r": "&#xD;"})
