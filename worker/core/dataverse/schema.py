"""The plain form of a context as JSON Schema, to paste into a flow's trigger; `context.schema.json` is a copy.

A trigger takes no `$ref`: what may hold its own kind (a parent context, a row's related rows) is any object.
"""

from dataclasses import fields
from typing import Any, Final, TypeAlias, get_args, get_type_hints

from worker.core.dataverse.context import Entity, EntityReference, RemoteExecutionContext
from worker.core.dataverse.contracts import CONTRACT_OF, Enumeration, Kind, Pairs, Row, Scalar
from worker.core.dataverse.plain import camel

Schema: TypeAlias = dict[str, Any]

_TEXT: Final[Schema] = {"type": ["string", "null"]}
_MAP: Final[Schema] = {"type": "object"}
_SCALARS: Final[dict[str, Schema]] = {
    "int": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "dateTime": {"type": "string", "format": "date-time"},
}


def context_schema() -> Schema:
    kinds, hints = _kinds(RemoteExecutionContext), get_type_hints(RemoteExecutionContext)
    names = [field.name for field in fields(RemoteExecutionContext) if field.name in kinds]
    return _object({camel(name): _member(kinds[name], hints[name]) for name in names}, {"others": _MAP})


def _member(kind: Kind, hint: Any) -> Schema:
    schema = _of(kind)
    return {**schema, "type": [schema["type"], "null"]} if type(None) in get_args(hint) else schema


def _kinds(model: type) -> dict[str, Kind]:
    return {member.field: member.kind for member in CONTRACT_OF[model].members.values()}


def _of(kind: Kind) -> Schema:
    match kind:
        case Scalar():
            return _SCALARS.get(kind.xsd, {"type": "string"})
        case Enumeration():
            return {"type": ["string", "integer"]}  # its name, or a number that has none
        case Row("Entity"):
            return _row()
        case Row("EntityReference"):
            return _reference()
        case Pairs(value=Row() | Scalar() as value):
            return {"type": "object", "additionalProperties": _of(value)}
        case _:
            return _MAP


def _reference() -> Schema:
    return _object({"table": _TEXT, "id": _TEXT, "name": _TEXT}, _rest(EntityReference, "keys", "row_version"))


def _row() -> Schema:
    told = {
        "table": _TEXT,
        "id": _TEXT,
        "attributes": _MAP,
        "formattedValues": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    rows = {"type": "array", "items": _MAP}
    related = {"type": "array", "items": _object({"relationship": _TEXT, "table": _TEXT, "rows": rows}, {})}
    return _object(told, {**_rest(Entity, "keys", "entity_state", "row_version"), "related": related})


def _rest(model: type, *names: str) -> dict[str, Schema]:
    """What is told only where there is some."""
    kinds = _kinds(model)
    return {**{camel(name): _of(kinds[name]) for name in names}, "others": _MAP}


def _object(always: dict[str, Schema], at_times: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": {**always, **at_times}, "required": list(always)}
