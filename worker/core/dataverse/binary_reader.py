""".NET binary XML (MC-NBFX) to elements, with or without a table of strings in front (MC-NBFSE).

One pass with a stack of its own. What Dataverse writes most, an element with one text and nothing else, takes the short
way through the loop; there a length that leads beyond the body is noticed by the read that follows.
"""

from struct import error as StructError  # noqa: N812 - named so by the library

from worker.core.dataverse.binary_text import (
    ARRAY_ITEM_BYTES,
    START_LIST,
    TEXTS,
    Strings,
    read_int31,
    read_reference,
    read_string,
    skip_string,
)
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import MAX_DEPTH, MAX_ELEMENTS, Element, Text, lexical

_END, _COMMENT, _ARRAY = 0x01, 0x02, 0x03
_ELEMENTS = range(0x40, 0x78)
_TEXTS = range(0x80, 0xBE)
_XMLNS, _PREFIX_XMLNS, _XMLNS_REFERENCE, _PREFIX_XMLNS_REFERENCE = range(0x08, 0x0C)
# A name stands behind its prefix, or is a reference to the dictionary, or both; else its type is its prefix.
_PREFIXED = frozenset({0x05, 0x07, 0x41, 0x43})
_REFERRING = frozenset({0x06, 0x07, *range(0x0C, 0x26), 0x42, 0x43, *range(0x44, 0x5E)})
_CHARS8_WITH_END = 0x99
_MAX_STRINGS = 10_000
_CHARACTERS_A_BYTE = 8  # that references may stand for; .NET's own documents need two
_WHITE_SPACE = " \t\r\n"


def read_binary(body: bytes) -> Element:
    """Raises ContextBroken.

    The length of a string table can look like a record, so a body is a plain document before it is anything else.
    """
    try:
        return _document(body, 0, Strings())
    except ContextBroken:
        table = _string_table(body)
        if table is None:
            raise
        strings, at = table
        if _begins_plain_document(body[0]) and not _needs_strings(body, at):
            raise
    return _document(body, at, strings)


def root_of_binary(body: bytes) -> str | None:
    """The name of its root, without reading on; None where there is none."""
    plain = _root_at(body, 0, Strings())
    table = _string_table(body) if plain is None else None
    return plain if table is None else _root_at(body, table[1], table[0])


def _root_at(body: bytes, at: int, strings: Strings) -> str | None:
    try:
        while body[at] not in _ELEMENTS:
            at = _skip_outside(body, at, strings, wanted="a record of an element")
        return _name(body, at, strings)[0]
    except (ContextBroken, IndexError, StructError):
        return None


def _string_table(body: bytes) -> tuple[Strings, int] | None:
    """The strings by their odd ids, and the offset of the document; None where the body doesn't begin with them."""
    texts: dict[int, str] = {}
    try:
        size, at = read_int31(body, 0)
        end = at + size
        while at < end and len(texts) < _MAX_STRINGS:
            texts[2 * len(texts) + 1], at = read_string(body, at)
        strings = Strings(texts, left=_CHARACTERS_A_BYTE * len(body))
        return (strings, end) if at == end and body[end] in _ELEMENTS else None
    except (ContextBroken, IndexError):
        return None


def _begins_plain_document(record: int) -> bool:
    return record == _COMMENT or record in _ELEMENTS or record in _TEXTS


def _needs_strings(body: bytes, at: int) -> bool:
    """Nobody writes a table for nothing, but what is left of a plain document that was cut can look like one."""
    try:
        _document(body, at, Strings())
    except ContextBroken:
        return True
    return False


def _document(body: bytes, at: int, strings: Strings) -> Element:
    try:
        while body[at] not in _ELEMENTS:
            at = _skip_outside(body, at, strings, wanted="a record of an element")
        root, at = _tree(body, at, strings)
        while at < len(body):
            at = _skip_outside(body, at, strings, wanted="nothing behind the root")
    except (IndexError, StructError):
        pass
    else:
        return root
    raise ContextBroken(f"expected the rest of the document at byte {len(body)}, found the end of the body")


def _skip_outside(body: bytes, at: int, strings: Strings, *, wanted: str) -> int:
    """Behind a comment or white space before or after the root; anything else is refused."""
    record = body[at]
    if record == _COMMENT:
        return skip_string(body, at + 1)
    read = TEXTS.get(record)
    if read is not None and not record & 1:
        text, end = read(body, at + 1, strings)
        if _is_white_space(text):
            return end
    raise ContextBroken(f"expected {wanted} at byte {at}, found 0x{record:02x}")


def _is_white_space(text: Text) -> bool:
    return isinstance(text, str) and not text.strip(_WHITE_SPACE)


def _tree(body: bytes, at: int, strings: Strings) -> tuple[Element, int]:
    """The root that begins at the offset, and the offset behind it."""
    names: dict[bytes, str] = {}  # by the bytes of the record, up to the end of the name
    types: dict[bytes, str] = {}  # by the bytes of the record that is the attribute's value
    reader_of = TEXTS.get
    name, at = _name(body, at, strings)
    type_, is_nil, at = _attributes(body, at, strings, names, types)
    element = Element(name, type_, is_nil)
    children: list[Element] = []
    texts: list[Text] = []
    parents: list[tuple[Element, list[Element], list[Text]]] = []
    depth, count = 1, 1
    while True:
        record = body[at]
        if 0x40 <= record < 0x78:
            count += 1
            if count > MAX_ELEMENTS or depth >= MAX_DEPTH:
                raise _too_large(count, at)
            key = body[at : at + 2 + body[at + 1]]
            known = names.get(key)
            if known is None:
                name, end = _name(body, at, strings)
                if end - at == len(key):
                    names[key] = name
            else:
                name, end = known, at + len(key)
            record = body[end]
            if 0x04 <= record < 0x40:
                type_, is_nil, end = _attributes(body, end, strings, names, types)
                record = body[end]
            else:
                type_, is_nil = None, False
            if record == _CHARS8_WITH_END:
                start = end + 2
                at = start + body[end + 1]
                try:
                    text: Text = body[start:at].decode()
                except UnicodeDecodeError:
                    text, at = TEXTS[record](body, end + 1, strings)  # which says where and why
                children.append(Element(name, type_, is_nil, text))
            elif record == _END:
                at = end + 1
                children.append(Element(name, type_, is_nil))
            elif record & 1 and (read := reader_of(record)) is not None:
                text, at = read(body, end + 1, strings)
                children.append(Element(name, type_, is_nil, text))
            else:
                at = end
                parents.append((element, children, texts))
                element = Element(name, type_, is_nil)
                children.append(element)
                children, texts = [], []
                depth += 1
            continue
        if record == _END:
            at += 1
        elif (read := reader_of(record)) is not None:
            text, at = read(body, at + 1, strings)
            texts.append(text)
            last = body[at - 1] if record == START_LIST else record
            if not last & 1:
                continue
        elif record == _COMMENT:
            at = skip_string(body, at + 1)
            continue
        elif record == _ARRAY:
            if depth >= MAX_DEPTH:
                raise _too_large(count, at)
            items, at = _array(body, at, strings, MAX_ELEMENTS - count)
            children += items
            count += len(items)
            continue
        else:
            raise ContextBroken(f"expected a record of an element or its content at byte {at}, found 0x{record:02x}")
        if not children:
            element.text = _joined(texts)
        elif all(map(_is_white_space, texts)):
            element.children = children
        else:
            raise ContextBroken(
                f"expected text or elements in {element.name!r:.60}, which ends at byte {at}, found both"
            )
        if not parents:
            return element, at
        element, children, texts = parents.pop()
        depth -= 1


def _too_large(count: int, at: int) -> ContextBroken:
    if count > MAX_ELEMENTS:
        return ContextBroken(f"expected at most {MAX_ELEMENTS} elements, found more at byte {at}")
    return ContextBroken(f"expected at most {MAX_DEPTH} elements inside each other, found more at byte {at}")


def _joined(texts: list[Text]) -> Text | None:
    """.NET writes a long text in pieces; bytes among themselves stay bytes."""
    if len(texts) <= 1:
        return texts[0] if texts else None
    pieces = [text for text in texts if isinstance(text, bytes)]
    return b"".join(pieces) if len(pieces) == len(texts) else "".join(map(lexical, texts))


def _name(body: bytes, at: int, strings: Strings) -> tuple[str, int]:
    """Of the element or attribute whose record begins at the offset, without its prefix."""
    record = body[at]
    start = skip_string(body, at + 1) if record in _PREFIXED else at + 1
    name, end = read_reference(body, start, strings) if record in _REFERRING else read_string(body, start)
    if not name:
        raise ContextBroken(f"expected a name at byte {start}, found none")
    return name, end


def _attributes(
    body: bytes, at: int, strings: Strings, names: dict[bytes, str], types: dict[bytes, str]
) -> tuple[str | None, bool, int]:
    """`type` without its prefix, `nil`, and the offset behind the last attribute."""
    type_, is_nil = None, False
    while 0x04 <= (record := body[at]) < 0x40:
        if _XMLNS <= record <= _PREFIX_XMLNS_REFERENCE:
            at = _skip_xmlns(body, at, strings)
            continue
        key = body[at : at + 2 + body[at + 1]]
        name = names.get(key)
        start, at = at, at + len(key)
        if name is None:
            name, at = _name(body, start, strings)
            if at - start == len(key):
                names[key] = name
        if name == "type":
            key = body[at : at + 2 + body[at + 1]]
            type_ = types.get(key)
            start, at = at, at + len(key)
            if type_ is None:
                text, at = _attribute_text(body, start, strings)
                type_ = lexical(text).rpartition(":")[2]
                if at - start == len(key):
                    types[key] = type_
        else:
            text, at = _attribute_text(body, at, strings)
            is_nil = is_nil or (name == "nil" and lexical(text).strip(_WHITE_SPACE) in ("true", "1"))
    return type_, is_nil, at


def _skip_xmlns(body: bytes, at: int, strings: Strings) -> int:
    """Prefix and URI are not looked at: names are unique without them."""
    record = body[at]
    if record == _PREFIX_XMLNS and (prefix := body[at + 1]) < 0x80 and (uri := body[at + 2 + prefix]) < 0x80:
        return at + 3 + prefix + uri
    start = at + 1 if record in (_XMLNS, _XMLNS_REFERENCE) else skip_string(body, at + 1)
    return skip_string(body, start) if record <= _PREFIX_XMLNS else read_reference(body, start, strings)[1]


def _attribute_text(body: bytes, at: int, strings: Strings) -> tuple[Text, int]:
    record = body[at]
    read = TEXTS.get(record)
    if read is None or record & 1:
        raise ContextBroken(f"expected the text of an attribute at byte {at}, found 0x{record:02x}")
    text, end = read(body, at + 1, strings)
    if record == START_LIST and body[end - 1] & 1:
        raise ContextBroken(f"expected the list of an attribute to end at byte {end - 1}, found the end of the element")
    return text, end


def _array(body: bytes, at: int, strings: Strings, count_left: int) -> tuple[list[Element], int]:
    """The elements that an array stands for: one start, then nothing but the values."""
    if body[at + 1] not in _ELEMENTS:
        raise ContextBroken(f"expected a record of an element at byte {at + 1}, found 0x{body[at + 1]:02x}")
    name, at = _name(body, at + 1, strings)
    type_, is_nil, at = _attributes(body, at, strings, {}, {})
    if body[at] != _END:
        raise ContextBroken(f"expected the end of an array's element at byte {at}, found 0x{body[at]:02x}")
    record = body[at + 1]
    item_bytes = ARRAY_ITEM_BYTES.get(record)
    if item_bytes is None:
        raise ContextBroken(f"expected the type of an array's items at byte {at + 1}, found 0x{record:02x}")
    count, start = read_int31(body, at + 2)
    if not 0 < count <= count_left:
        raise ContextBroken(f"expected 1 to {count_left} items in the array at byte {at + 2}, found {count}")
    end = start + count * item_bytes
    if end > len(body):
        raise ContextBroken(f"expected {count} items at byte {start}, found the end of the body")
    read = TEXTS[record]
    return [Element(name, type_, is_nil, read(body, item, strings)[0]) for item in range(start, end, item_bytes)], end
