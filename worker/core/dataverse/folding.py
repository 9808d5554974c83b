"""From members to elements, with the prefixes and types that a DataContract serialiser would write."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, assert_never
from uuid import UUID

from worker.core.dataverse.contracts import (
    ANYTHING,
    CONTRACTS,
    CONTRACTS_NAMESPACE,
    ROOT,
    Anything,
    Contract,
    Enumeration,
    Kind,
    Many,
    Pairs,
    Row,
    Scalar,
    tag_of,
)
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.element import Element

NAMESPACES: Final[Mapping[str, str]] = {
    "": CONTRACTS_NAMESPACE,
    "i": "http://www.w3.org/2001/XMLSchema-instance",
    "a": "http://schemas.datacontract.org/2004/07/System.Collections.Generic",
    "k": "http://schemas.microsoft.com/xrm/7.1/Contracts",
    "o": "http://schemas.microsoft.com/xrm/9.0/Contracts",
    "r": "http://schemas.microsoft.com/2003/10/Serialization/Arrays",
    "s": "http://schemas.microsoft.com/2003/10/Serialization/",
    "x": "http://www.w3.org/2001/XMLSchema",
}
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Of a list of rows: its type, and the name of each.
_COLLECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "OptionSetValue": ("o:OptionSetValueCollection", "o:OptionSetValue"),
    "EntityReference": ("EntityReferenceCollection", "EntityReference"),
}
# Of a list of pairs: its type, the name of each, of its key and of its value.
_PAIRS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "KeyValuePairOfstringanyType": ("ParameterCollection", "KeyValuePairOfstringanyType", "a:key", "a:value"),
    "KeyValuePairOfstringstring": (
        "r:ArrayOfKeyValueOfstringstring",
        "r:KeyValueOfstringstring",
        "r:Key",
        "r:Value",
    ),
}
_LONG_BITS = 63


def folded(members: Mapping[str, Any]) -> Element:
    return Element(ROOT, children=_members(CONTRACTS[ROOT], members))


def _members(contract: Contract, members: Mapping[str, Any]) -> list[Element]:
    known = contract.members
    return [
        _of_kind(name, known[name].kind, value) if name in known else _unknown(name, value)
        for name, value in members.items()
        if name != "__type"
    ]


def _unknown(name: str, value: Any) -> Element:
    if _NAME.fullmatch(name) is None:
        raise ContextBroken(f"XML can't name an element {name!r:.60}")
    return _of_kind(name, ANYTHING, value)


def _of_kind(tag: str, kind: Kind, value: Any) -> Element:
    if value is None:
        return Element(tag, is_nil=True)
    match kind:
        case Anything():
            return _anything(tag, value)
        case Scalar(xsd):
            return Element(tag, text=UUID(value) if xsd == "guid" and _GUID.fullmatch(value) else value)
        case Enumeration(names):
            is_known = isinstance(value, int) and 0 <= value < len(names)
            return Element(tag, text=names[value] if is_known else value)
        case Row(contract):
            return Element(tag, children=_members(CONTRACTS[contract], value))
        case Many(item, of):
            return Element(tag, children=[_of_kind(item, of, member) for member in value])
        case Pairs(item):
            return Element(tag, children=[_pair(kind, item, pair) for pair in value])
        case _:
            assert_never(kind)


def _pair(kind: Pairs, item: str, pair: Mapping[str, Any]) -> Element:
    children = [_of_kind("a:key", kind.key, pair["key"]), _of_kind("a:value", kind.value, pair["value"])]
    return Element(item, children=children)


def _anything(tag: str, value: Any) -> Element:
    if isinstance(value, list):
        return _list(tag, value)
    if isinstance(value, Mapping):
        name = tag_of(value)
        contract = CONTRACTS.get(name)
        if contract is not None:
            return Element(tag, type=name, children=_members(contract, value))
        untagged = [_unknown(key, item) for key, item in value.items() if key != "__type"]
        return Element(tag, type=name or (None if untagged else "x:anyType"), children=untagged)
    return Element(tag, type=_type_of(value), text=value)


def _list(tag: str, items: list[Any]) -> Element:
    names = {tag_of(item) if isinstance(item, Mapping) else "" for item in items}
    name = names.pop() if len(names) == 1 else ""
    if name in CONTRACTS:
        collection, row = _COLLECTIONS.get(name, (f"ArrayOf{name}", name))
        rows = [Element(row, children=_members(CONTRACTS[name], item)) for item in items]
        return Element(tag, type=collection, children=rows)
    if name in _PAIRS and all(item.keys() == {"__type", "key", "value"} for item in items):
        collection, pair, key, value = _PAIRS[name]
        pairs = [(_of_kind(key, ANYTHING, item["key"]), _of_kind(value, ANYTHING, item["value"])) for item in items]
        return Element(tag, type=collection, children=[Element(pair, children=each) for each in pairs])
    kinds = {_type_of(item) for item in items if item is not None}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if kind in ("x:string", "x:int", "s:guid"):
        texts = [Element(f"r:{kind[2:]}", is_nil=item is None, text=item) for item in items]
        return Element(tag, type=f"r:ArrayOf{kind[2:]}", children=texts)
    return Element(tag, type="r:ArrayOfanyType", children=[_of_kind("r:anyType", ANYTHING, item) for item in items])


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "x:boolean"
        case int():
            return "x:int" if value.bit_length() < 32 else "x:long" if value.bit_length() <= _LONG_BITS else "x:decimal"
        case Decimal():
            return "x:decimal"
        case datetime():
            return "x:dateTime"
        case str():
            return "s:guid" if _GUID.fullmatch(value) else "x:string"
        case _:
            return ""
