"""DataContract XML to elements. There is no DTD, so no entity but XML's own five, and nothing is fetched."""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import MAX_DEPTH, MAX_ELEMENTS, Element

_TYPE = "http://www.w3.org/2001/XMLSchema-instance type"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HEAD_BYTES = 4_000
_BEFORE_ROOT = re.compile(rb"\s*(<\?|<!--)")
_ENDS = {b"<?": b"?>", b"<!--": b"-->"}
_ROOT = re.compile(rb"\s*<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s/>]")
_NIL = "http://www.w3.org/2001/XMLSchema-instance nil"


def root_of_xml(text: bytes) -> str | None:
    """The name of its root, without reading on; None where there is none, or a document type before it."""
    if text.startswith(_UTF_16):
        text = text[:_HEAD_BYTES].decode("utf-16", errors="replace").encode()
    at = 0
    while (found := _BEFORE_ROOT.match(text, at)) is not None:
        at = text.find(_ENDS[found.group(1)], found.end())
        if at < 0:
            return None
        at += len(_ENDS[found.group(1)])
    root = _ROOT.match(text, at)
    return None if root is None else root.group(1).decode()


def read_xml(text: bytes, start: int) -> Element:
    """Raises ContextBroken; `start` is the offset of the text in its body."""
    parser = expat.ParserCreate(namespace_separator=" ")
    tree = _Tree(parser=parser, start=start)
    parser.buffer_text = True
    parser.ordered_attributes = False
    parser.StartElementHandler = tree.open
    parser.EndElementHandler = tree.close
    parser.CharacterDataHandler = tree.add_text
    parser.StartDoctypeDeclHandler = tree.refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as broken:
        offset = start + max(parser.ErrorByteIndex, 0)
        raise ContextBroken(f"not XML at byte {offset}: {expat.ErrorString(broken.code)}") from None
    except ContextBroken:
        raise
    except (ValueError, LookupError) as broken:  # an encoding that nobody knows
        raise ContextBroken(f"not XML: {broken}") from None
    return tree.root.children[0]


@dataclass(slots=True, kw_only=True)
class _Tree:
    parser: expat.XMLParserType
    start: int
    root: Element = field(default_factory=lambda: Element("", children=[]))
    _open: list[Element] = field(init=False)
    _texts: list[str] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self._open = [self.root]

    def open(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) > MAX_DEPTH or self._count > MAX_ELEMENTS:
            bound = f"{MAX_ELEMENTS:,} elements" if self._count > MAX_ELEMENTS else f"{MAX_DEPTH} inside each other"
            raise ContextBroken(f"more than {bound} at byte {self._at()}")
        self._settle_text(is_leaf=False)
        kind = attributes.get(_TYPE)
        element = Element(
            name.rpartition(" ")[2],
            type=None if kind is None else kind.strip().rpartition(":")[2],
            is_nil=attributes.get(_NIL) in ("true", "1"),
            children=[],
        )
        self._open[-1].children.append(element)  # type: ignore[attr-defined]
        self._open.append(element)

    def close(self, _name: str) -> None:
        self._settle_text(is_leaf=not self._open[-1].children)
        element = self._open.pop()
        element.children = element.children or ()

    def add_text(self, text: str) -> None:
        self._texts.append(text)

    def refuse_doctype(self, *_declaration: object) -> None:
        raise ContextBroken(f"expected no document type declaration, found one before byte {self._at()}")

    def _settle_text(self, *, is_leaf: bool) -> None:
        if not self._texts:
            return
        text = "".join(self._texts)
        self._texts.clear()
        if is_leaf:
            self._open[-1].text = text
        elif text.strip():
            raise ContextBroken(f"expected elements alone, found the text {text.strip()!r:.60} at byte {self._at()}")

    def _at(self) -> int:
        return self.start + self.parser.CurrentByteIndex
