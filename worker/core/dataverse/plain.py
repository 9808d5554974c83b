"""The context as JSON that a flow reads without knowing DataContract (`body = "context"`).

Names in camelCase; parameters, images and attributes as objects instead of key/value lists; references as
`{table, id, name}`, choices as `{value, label}`; dates ISO-8601 UTC; Money as numbers. `schema` says the same in
JSON Schema.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from worker.core.dataverse.context import (
    Contracted,
    Entity,
    EntityCollection,
    EntityReference,
    Money,
    OptionSetValue,
    RemoteExecutionContext,
    Uninterpreted,
    Value,
)
from worker.core.dataverse.contracts import CONTRACT_OF, Contract, Enumeration
from worker.core.dataverse.dates import write_iso
from worker.core.dataverse.json_form import dump, exact, number

# A Decimal stays one, and every number its digits, until it is written.
Plain: TypeAlias = str | int | bool | Decimal | list["Plain"] | dict[str, "Plain"] | None

_LABELS: Final = "; "  # between those of a multi-select


def plain_context(context: RemoteExecutionContext) -> dict[str, Plain]:
    plain = {camel(field.name): _member(getattr(context, field.name)) for field in fields(context)}
    return plain if context.others else {name: value for name, value in plain.items() if name != "others"}


def plain_attributes(row: Entity) -> dict[str, Plain]:
    """Columns by name, with their labels where the row has some."""
    return {name: _labelled(value, row.formatted_values.get(name)) for name, value in row.attributes.items()}


def write_plain(plain: Plain) -> bytes:
    """Raises ContextBroken for a text that UTF-8 can't carry."""
    return dump(plain, default=number)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _member(value: Any) -> Plain:
    if isinstance(value, RemoteExecutionContext):
        return plain_context(value)
    return _mapping(value) if isinstance(value, Mapping) else _value(value)


def _mapping(values: Mapping[str, Value]) -> dict[str, Plain]:
    return {name: _value(value) for name, value in values.items()}


def _value(value: Value) -> Plain:
    match value:
        case None | bool() | int() | str() | Decimal():
            return exact(value)
        case datetime():
            return write_iso(value)
        case tuple():
            return [_value(item) for item in value]
        case OptionSetValue():
            return {"value": value.value, "label": None}
        case Money():
            return exact(value.value)
        case EntityReference():
            return _reference(value)
        case Entity():
            return _entity(value)
        case EntityCollection():
            return _collection(value)
        case Uninterpreted():
            tag: dict[str, Plain] = {} if value.type is None else {"$type": value.type}
            return tag | _mapping(value.members)
        case _:
            return _rest(value)


def _labelled(value: Value, label: str | None) -> Plain:
    if label is None:
        return _value(value)
    match value:
        case OptionSetValue():
            return {"value": value.value, "label": label}
        case EntityReference(name=None):
            return _reference(value) | {"name": label}
        case tuple():
            labels = label.split(_LABELS)
            if len(labels) == len(value):
                return [_labelled(item, each) for item, each in zip(value, labels, strict=True)]
        case _:
            pass
    return _value(value)


def _reference(reference: EntityReference) -> dict[str, Plain]:
    return {"table": reference.logical_name, "id": reference.id, "name": reference.name, **_rest(reference)}


def _entity(row: Entity) -> dict[str, Plain]:
    plain: dict[str, Plain] = {
        "table": row.logical_name,
        "id": row.id,
        "attributes": plain_attributes(row),
        "formattedValues": dict(row.formatted_values),
        **_rest(row),
    }
    if row.related:
        plain["related"] = [
            {"relationship": relationship.schema_name, **_collection(rows)} for relationship, rows in row.related
        ]
    return plain


def _collection(rows: EntityCollection) -> dict[str, Plain]:
    return {"table": rows.entity_name, "rows": [_entity(row) for row in rows.entities], **_rest(rows)}


def _rest(value: Contracted) -> dict[str, Plain]:
    """The members that a value has beside those which are always told; enumerations by name."""
    plain: dict[str, Plain] = {}
    for field, name, names in _REST[type(value)]:
        member = getattr(value, field)
        if member is None or member in ((), {}):
            continue
        is_named = isinstance(member, int) and 0 <= member < len(names)
        plain[name] = names[member] if is_named else _member(member)
    return plain


_ALWAYS_TOLD: Final[Mapping[type, frozenset[str]]] = {
    EntityReference: frozenset(("logical_name", "id", "name")),
    Entity: frozenset(("logical_name", "id", "attributes", "formatted_values", "related")),
    EntityCollection: frozenset(("entity_name", "entities")),
}


def _rest_of(contract: Contract) -> list[tuple[str, str, tuple[str, ...]]]:
    told = _ALWAYS_TOLD.get(contract.model, frozenset())
    members = (member for member in contract.members.values() if member.field not in told)
    named = [
        (member.field, camel(member.field), member.kind.names if isinstance(member.kind, Enumeration) else ())
        for member in members
    ]
    return [*named, ("others", "others", ())]


_REST: Final = {model: _rest_of(contract) for model, contract in CONTRACT_OF.items()}
