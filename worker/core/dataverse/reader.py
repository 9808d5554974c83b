"""From members (JSON objects, or XML in the same shape) to the typed context, as the contracts say.

Members that aren't known are kept; one of the wrong shape is refused with its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, assert_never

from worker.core.dataverse.context import RemoteExecutionContext, Uninterpreted, Value
from worker.core.dataverse.contracts import (
    ANYTHING,
    CONTRACTS,
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
    tag_of,
)
from worker.core.dataverse.dates import read_date, read_instant
from worker.core.dataverse.place import Place, broken_at

Members: TypeAlias = Mapping[str, Any]  # an object, on its way to a type

MAX_VALUES: Final = 50_000  # of one context: some ten times what fits into the largest that Dataverse sends
MAX_DEPTH: Final = 64  # Dataverse nests values a handful deep and stops its own loops at depth 8


def read_context(members: Members, *, dates_are_texts: bool) -> RemoteExecutionContext:
    """`dates_are_texts`: as JSON has them, which doesn't tell a date from a text that looks like one.

    Raises ContextBroken.
    """
    context: RemoteExecutionContext = _Reading(dates_are_texts).row(CONTRACTS[ROOT], members, None, MAX_DEPTH)
    return context


@dataclass(slots=True)
class _Reading:
    """`values_left` bounds what a small body can be blown up to."""

    dates_are_texts: bool
    values_left: int = MAX_VALUES

    def row(self, contract: Contract, found: Any, where: Place, depth: int) -> Any:
        if not isinstance(found, dict):
            raise broken_at(where, f"expected an object, found {kind_of(found)}")
        if depth <= 0:
            raise broken_at(where, f"more than {MAX_DEPTH} objects inside each other")
        fields: dict[str, Any] = {}
        others = {}
        for name, value in found.items():
            member = contract.members.get(name)
            if member is not None:
                read = self.of_kind(member.kind, value, (where, name), depth - 1)
                if read is not None:
                    fields[member.field] = read
            elif name != "__type":
                others[name] = self.value(value, (where, name), depth - 1)
        if contract.model is RemoteExecutionContext and "message_name" not in fields:
            raise broken_at((where, "MessageName"), "expected the name of a message, found none")
        if others:
            fields["others"] = others
        return contract.model(**fields)

    def of_kind(self, kind: Kind, found: Any, where: Place, depth: int) -> Any:
        """None where there is none."""
        if found is None:
            return None
        match kind:
            case Anything():
                return self.value(found, where, depth)
            case Scalar():
                return scalar(kind, found, where)
            case Enumeration():
                return found if type(found) is str else _expect(int, found, where)
            case Row(contract):
                return self.row(CONTRACTS[contract], found, where, depth)
            case Many(of=of):
                rows = _expect(list, found, where)
                return tuple(self.item(of, row, (where, index), depth) for index, row in enumerate(rows))
            case Pairs():
                pairs = self.pairs(kind, found, where, depth)
                return dict(pairs) if isinstance(kind.key, Scalar) else tuple(pairs)
            case _:
                assert_never(kind)

    def item(self, kind: Kind, found: Any, where: Place, depth: int) -> Any:
        """No row in a list is null."""
        if found is None and isinstance(kind, Row):
            raise broken_at(where, "expected an object, found null")
        return self.of_kind(kind, found, where, depth)

    def pairs(self, kind: Pairs, found: Any, where: Place, depth: int) -> list[tuple[Any, Any]]:
        pairs = []
        for index, item in enumerate(_expect(list, found, where)):
            if not isinstance(item, dict) or "key" not in item:
                raise broken_at((where, index), "expected an object with a key and a value")
            key, value = item["key"], item.get("value")
            at: Place = (where, index)
            if kind.key is not STRING:
                key = self.item(kind.key, key, (at, "key"), depth)
            elif type(key) is not str:
                raise broken_at((at, "key"), f"expected a string, found {kind_of(key)}")
            else:
                at = (where, key)
            if kind.value is ANYTHING:
                pairs.append((key, self.value(value, at, depth)))
            elif value is not None:
                read = self.of_kind(kind.value, value, at, depth)
                pairs.append((key, "" if read is None else read))
        return pairs

    def value(self, found: Any, where: Place, depth: int) -> Value:
        self.values_left -= 1
        if self.values_left < 0:
            raise broken_at(where, f"more than {MAX_VALUES:,} values in one context")
        match found:
            case str():
                instant = read_date(found) if self.dates_are_texts and found.startswith("/Date(") else None
                return found if instant is None else instant
            case None | bool() | int() | Decimal() | datetime():
                return found
            case dict():
                return self.object(found, where, depth)
            case list():
                if depth <= 0:
                    raise broken_at(where, f"more than {MAX_DEPTH} lists and objects inside each other")
                return tuple(self.value(item, (where, index), depth - 1) for index, item in enumerate(found))
            case _:
                raise broken_at(where, f"expected a JSON value, found {kind_of(found)}")

    def object(self, members: Members, where: Place, depth: int) -> Value:
        name = tag_of(members) or _untagged(members)
        contract = CONTRACTS.get(name)
        if contract is not None:
            known: Value = self.row(contract, members, where, depth)
            return known
        if depth <= 0:
            raise broken_at(where, f"more than {MAX_DEPTH} lists and objects inside each other")
        untyped = ((key, value) for key, value in members.items() if key != "__type")
        return Uninterpreted(
            type=name or None, members={key: self.value(value, (where, key), depth - 1) for key, value in untyped}
        )


def _untagged(members: Members) -> str:
    """Rows in a list of their own type carry no tag, nor do images."""
    if "Attributes" in members and "LogicalName" in members:
        return "Entity"
    if members.keys() == {"Value"} and type(members["Value"]) is int:
        return "OptionSetValue"
    return "EntityReference" if {"Id", "LogicalName", "KeyAttributes"} <= members.keys() else ""


def scalar(kind: Scalar, found: Any, where: Place) -> Any:
    """None for what stands for none. Raises ContextBroken."""
    if kind.xsd in _TEXTS:
        text = _expect(str, found, where)
        return None if text in ("", kind.absent) else text
    match kind.xsd:
        case "int":
            return _expect(int, found, where)
        case "boolean":
            return _expect(bool, found, where)
        case "decimal":
            if type(found) is int or isinstance(found, Decimal):
                return found
            raise broken_at(where, f"expected a number, found {kind_of(found)}")
        case _:
            return _instant(found, where)


_TEXTS: Final = frozenset(("string", "guid"))


def _instant(found: Any, where: Place) -> datetime | None:
    if isinstance(found, datetime):
        return found
    text = _expect(str, found, where)
    if not text:
        return None
    if (instant := read_instant(text)) is None:
        raise broken_at(where, f"expected /Date(…)/ or an ISO-8601 date, found {text!r:.60}")
    return instant


def _expect(kind: type, found: Any, where: Place) -> Any:
    """A bool is no int here."""
    if type(found) is not kind:
        raise broken_at(where, f"expected {_NAMES[kind]}, found {kind_of(found)}")
    return found


_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    Decimal: "a number",
    float: "a number",
    datetime: "a date",
    type(None): "null",
}


def kind_of(found: Any) -> str:
    return _NAMES.get(type(found), "something else")
