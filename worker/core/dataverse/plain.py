"""The context as JSON that a flow reads without knowing DataContract (`body = "context"`).

Names in camelCase; parameters, images and attributes as objects instead of key/value lists; references as
`{id, logicalName, name}`; dates ISO-8601 UTC; choices and Money as numbers.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, assert_never

import orjson

from worker.core.dataverse.context import (
    Entity,
    EntityCollection,
    EntityReference,
    RemoteExecutionContext,
    Uninterpreted,
    Value,
)
from worker.core.dataverse.dates import write_iso
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.reader import read_context
from worker.core.outcome import Reason, Rejected

_Json: TypeAlias = str | int | bool | orjson.Fragment | list["_Json"] | dict[str, "_Json"] | None


def context_as_plain_json(body: bytes) -> bytes | Rejected:
    try:
        return write_plain(read_context(body))
    except ContextBroken as broken:
        detail = f"the flow takes Dataverse contexts in JSON, and this body isn't one: {broken}"
        return Rejected(reason=Reason.MALFORMED, detail=detail)


def write_plain(context: RemoteExecutionContext) -> bytes:
    """Raises ContextBroken for a text that UTF-8 can't carry."""
    try:
        return orjson.dumps(_context(context))
    except orjson.JSONEncodeError:
        raise ContextBroken("a text in it holds one half of a surrogate pair") from None


def _context(context: RemoteExecutionContext) -> dict[str, _Json]:
    return {_camel(field.name): _member(getattr(context, field.name)) for field in fields(context)}


def _member(value: Value | Mapping[str, Value] | RemoteExecutionContext) -> _Json:
    if isinstance(value, RemoteExecutionContext):
        return _context(value)
    return _mapping(value) if isinstance(value, Mapping) else _value(value)


def _mapping(values: Mapping[str, Value]) -> dict[str, _Json]:
    return {name: _value(value) for name, value in values.items()}


def _value(value: Value) -> _Json:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if value.bit_length() < 64 else orjson.Fragment(str(value))
        case Decimal():
            return orjson.Fragment(str(value))
        case datetime():
            return write_iso(value)
        case tuple():
            return [_value(item) for item in value]
        case EntityReference():
            reference: dict[str, _Json] = {"id": value.id, "logicalName": value.logical_name, "name": value.name}
            return reference | ({"keyAttributes": _mapping(value.keys)} if value.keys else {})
        case Entity():
            return _entity(value)
        case EntityCollection():
            return {"entityName": value.entity_name, "entities": [_entity(row) for row in value.entities]}
        case Uninterpreted():
            return _mapping(value.members)
        case _:
            assert_never(value)


def _entity(entity: Entity) -> dict[str, _Json]:
    plain: dict[str, _Json] = {
        "id": entity.id,
        "logicalName": entity.logical_name,
        "attributes": _mapping(entity.attributes),
        "formattedValues": dict(entity.formatted_values),
    }
    if entity.keys:
        plain["keyAttributes"] = _mapping(entity.keys)
    if entity.related:
        plain["relatedEntities"] = {name: _value(rows) for name, rows in entity.related.items()}
    return plain


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
