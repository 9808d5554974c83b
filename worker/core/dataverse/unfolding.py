"""From an element of XML to members in the shape of JSON, as the contracts and each `i:type` say."""

import binascii
import re
from collections.abc import Callable, Container, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, assert_never

from worker.core.dataverse.contracts import (
    ANYTHING,
    BOOLEAN,
    CONTRACTS,
    DATE_TIME,
    DECIMAL,
    GUID,
    INT,
    ROOT,
    STRING,
    Anything,
    Contract,
    Enumeration,
    Kind,
    Many,
    Pairs,
    Row,
    Scalar,
)
from worker.core.dataverse.dates import read_instant, whole_ms
from worker.core.dataverse.element import Element, Text, lexical
from worker.core.dataverse.place import Place, broken_at

_BYTES = Scalar("base64Binary")
_DOUBLE = Scalar("double")
_TYPES: Final[Mapping[str, Kind]] = {
    "string": STRING,
    "boolean": BOOLEAN,
    **dict.fromkeys(("int", "long", "short", "byte", "unsignedInt", "unsignedLong", "unsignedShort"), INT),
    "unsignedByte": INT,
    "decimal": DECIMAL,
    **dict.fromkeys(("double", "float"), _DOUBLE),
    "dateTime": DATE_TIME,
    "guid": GUID,
    "base64Binary": _BYTES,
    **dict.fromkeys(("anyURI", "duration", "char", "QName"), STRING),
    "anyType": ANYTHING,
    "ParameterCollection": Many("KeyValuePairOfstringanyType", ANYTHING),
    "OptionSetValueCollection": Many("OptionSetValue", Row("OptionSetValue")),
    "EntityReferenceCollection": Many("EntityReference", Row("EntityReference")),
    **{name: Row(name) for name in CONTRACTS},
}
_ARRAY = "ArrayOf"
_PAIR = re.compile("KeyValue(?:Pair)?Of")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")


def unfolded(root: Element) -> dict[str, Any]:
    """Of the context whose root it is. Raises ContextBroken."""
    return _row(CONTRACTS[ROOT], root, None)


def outline_of(root: Element, wanted: Container[str]) -> dict[str, Any]:
    """The `wanted` members alone: nothing that is wrong elsewhere matters to them. Raises ContextBroken."""
    members = CONTRACTS[ROOT].members
    found = (child for child in root.children if child.name in wanted)
    return {child.name: _of_kind(members[child.name].kind, child, (None, child.name)) for child in found}


def _of_kind(kind: Kind, element: Element, where: Place) -> Any:
    if element.is_nil:
        return None
    tag = element.type
    if tag is not None:
        kind = _kind_of_type(tag)
        tag = None if tag == "anyType" else tag
    match kind:
        case Anything():
            return _anything(element, where, tag)
        case Scalar(xsd):
            return _scalar(xsd, element, where)
        case Enumeration(names):
            return _number_of(names, element, where)
        case Row(contract):
            row = _row(CONTRACTS[contract], element, where)
            return row if tag is None else {"__type": tag, **row}
        case Many(of=Anything()):
            return [_listed(child, (where, index)) for index, child in enumerate(element.children)]
        case Many(of=of):
            return [_of_kind(of, child, (where, index)) for index, child in enumerate(element.children)]
        case Pairs():
            return [_pair(kind, child, (where, index)) for index, child in enumerate(element.children)]
        case _:
            assert_never(kind)


def _kind_of_type(name: str) -> Kind:
    if (known := _TYPES.get(name)) is not None:
        return known
    item = name.removeprefix(_ARRAY)
    return ANYTHING if item == name else Many(item, _kind_of_type(item))


def _row(contract: Contract, element: Element, where: Place) -> dict[str, Any]:
    row = {}
    for child in element.children:
        member = contract.members.get(child.name)
        row[child.name] = _of_kind(ANYTHING if member is None else member.kind, child, (where, child.name))
    return row


def _pair(kind: Pairs, element: Element, where: Place) -> dict[str, Any]:
    kinds = {"key": kind.key, "value": kind.value}
    return {
        child.name: _of_kind(kinds[child.name], child, (where, child.name))
        for child in element.children
        if child.name in kinds
    }


def _anything(element: Element, where: Place, tag: str | None) -> Any:
    """A value without a type is text, or an object; several elements of one name are a list."""
    if not element.children:
        if element.text is None and element.type is not None:
            return {} if tag is None else {"__type": tag}
        return "" if element.text is None else lexical(element.text)
    names = {child.name for child in element.children}
    if len(names) == 1 and (len(element.children) > 1 or _PAIR.match(element.children[0].name)):
        return [_listed(child, (where, index)) for index, child in enumerate(element.children)]
    members = {child.name: _of_kind(ANYTHING, child, (where, child.name)) for child in element.children}
    return members if tag is None else {"__type": tag, **members}


def _listed(element: Element, where: Place) -> Any:
    """A pair says its type by its element's name; those of a dictionary have capital members, in XML only."""
    if (pair := _PAIR.match(element.name)) is None:
        return _of_kind(ANYTHING, element, where)
    members = {child.name.lower(): _of_kind(ANYTHING, child, (where, child.name)) for child in element.children}
    return {"__type": f"KeyValuePairOf{element.name[pair.end() :]}", **members}


def _number_of(names: tuple[str, ...], element: Element, where: Place) -> int | str:
    """A name that isn't known is kept, as its number would be."""
    text: str = _scalar("string", element, where)
    if text in names:
        return names.index(text)
    return int(text) if _INTEGER.fullmatch(text) else text


def _scalar(xsd: str, element: Element, where: Place) -> Any:
    if element.children:
        raise broken_at(where, f"expected {_EXPECTED.get(xsd, 'a text')}, found elements")
    text = "" if element.text is None else element.text
    read = _READ.get(xsd)
    if read is None:
        return text if isinstance(text, str) else lexical(text)
    try:
        return read(text)
    except (ValueError, InvalidOperation):
        raise broken_at(where, f"expected {_EXPECTED[xsd]}, found {lexical(text)!r:.60}") from None


def _integer(text: Text) -> int:
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    written = lexical(text).strip()
    if _INTEGER.fullmatch(written) is None:
        raise ValueError
    return int(written)


def _boolean(text: Text) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}.get(lexical(text).strip())
    if known is None:
        raise ValueError
    return known


def _decimal(text: Text) -> int | Decimal:
    if isinstance(text, bool | datetime):
        raise ValueError  # noqa: TRY004 - caught by its only caller
    written = lexical(text).strip()
    if _DECIMAL.fullmatch(written) is None:
        raise ValueError
    return Decimal(written)


def _double(text: Text) -> int | Decimal | str:
    """JSON writes what isn't finite as a text."""
    named = lexical(text)
    return named if named in ("INF", "-INF", "NaN") else _decimal(text)


def _date_time(text: Text) -> datetime:
    instant = whole_ms(text) if isinstance(text, datetime) else read_instant(lexical(text))
    if instant is None:
        raise ValueError
    return instant


def _bytes(text: Text) -> list[int]:
    """As JSON has them."""
    return list(text if isinstance(text, bytes) else binascii.a2b_base64(lexical(text)))


_READ: Final[Mapping[str, Callable[[Text], Any]]] = {
    "int": _integer,
    "boolean": _boolean,
    "decimal": _decimal,
    "double": _double,
    "dateTime": _date_time,
    "base64Binary": _bytes,
}
_EXPECTED: Final[Mapping[str, str]] = {
    "int": "an integer",
    "boolean": "true or false",
    "decimal": "a decimal number",
    "double": "a number",
    "dateTime": "a date",
    "base64Binary": "base64",
}
