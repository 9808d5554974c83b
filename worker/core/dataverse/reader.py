"""DataContract JSON to the typed context: key/value lists, `__type` tags, escaped dates.

Members that we don't know are passed over; a member of the wrong shape is refused with its place. Numbers keep every
digit (Decimal), because a Money may hold more of them than a float.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeAlias

from worker.core.dataverse.context import (
    Entity,
    EntityCollection,
    EntityReference,
    RemoteExecutionContext,
    Uninterpreted,
    Value,
)
from worker.core.dataverse.dates import read_date, read_instant
from worker.core.dataverse.document import ContextBroken, document_text

# Dataverse stops its own loops at depth 8 and nests values a handful deep; beyond this somebody is playing.
MAX_PARENTS = 32
MAX_VALUE_DEPTH = 64

_NO_ID = "00000000-0000-0000-0000-000000000000"
_Members: TypeAlias = Mapping[str, Any]  # a JSON object, on its way to a type


def read_context(body: bytes) -> RemoteExecutionContext:
    """Raises ContextBroken."""
    text, _ = document_text(body)
    try:
        document = json.loads(text, parse_float=_decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise ContextBroken("nested too deeply") from None
    except UnicodeDecodeError as broken:
        raise ContextBroken(f"expected UTF-8, found another encoding at byte {broken.start}") from None
    except ValueError as broken:
        raise ContextBroken(f"not JSON: {broken}") from None
    return _context(document, "", MAX_PARENTS)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text:.40} is beyond every decimal number") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _context(found: Any, where: str, parents_left: int) -> RemoteExecutionContext:
    members = _object(found, where or "the document")
    prefix = f"{where}." if where else ""
    if parents_left == 0:
        raise ContextBroken(f"more than {MAX_PARENTS} parent contexts")

    def text(name: str) -> str | None:
        return _text(members, name, prefix)

    def gid(name: str) -> str | None:
        return _id(members, name, prefix)

    integer = partial(_scalar, members, prefix=prefix, kind=int)
    flag = partial(_scalar, members, prefix=prefix, kind=bool)
    values = partial(_values, members, prefix=prefix)

    message = text("MessageName")
    if message is None:
        raise ContextBroken(f"{prefix}MessageName: expected the name of a message, found none")
    owner = members.get("OwningExtension")
    parent = members.get("ParentContext")
    table, second_table = text("PrimaryEntityName"), text("SecondaryEntityName")
    return RemoteExecutionContext(
        message_name=message,
        primary_entity_name=None if table == "none" else table,
        primary_entity_id=gid("PrimaryEntityId"),
        secondary_entity_name=None if second_table == "none" else second_table,
        stage=integer("Stage"),
        mode=integer("Mode"),
        depth=integer("Depth"),
        isolation_mode=integer("IsolationMode"),
        is_in_transaction=flag("IsInTransaction"),
        is_executing_offline=flag("IsExecutingOffline"),
        is_offline_playback=flag("IsOfflinePlayback"),
        business_unit_id=gid("BusinessUnitId"),
        correlation_id=gid("CorrelationId"),
        operation_id=gid("OperationId"),
        operation_created_on=_instant(members, prefix),
        request_id=gid("RequestId"),
        organization_id=gid("OrganizationId"),
        organization_name=text("OrganizationName"),
        user_id=gid("UserId"),
        user_azure_active_directory_object_id=gid("UserAzureActiveDirectoryObjectId"),
        initiating_user_id=gid("InitiatingUserId"),
        initiating_user_azure_active_directory_object_id=gid("InitiatingUserAzureActiveDirectoryObjectId"),
        initiating_user_agent=text("InitiatingUserAgent"),
        owning_extension=None if owner is None else _reference(_object(owner, f"{prefix}OwningExtension"), prefix),
        input_parameters=values("InputParameters"),
        output_parameters=values("OutputParameters"),
        shared_variables=values("SharedVariables"),
        pre_entity_images=values("PreEntityImages"),
        post_entity_images=values("PostEntityImages"),
        parent_context=None if parent is None else _context(parent, f"{prefix}ParentContext", parents_left - 1),
    )


def _values(members: _Members, name: str, *, prefix: str, depth: int = MAX_VALUE_DEPTH) -> dict[str, Value]:
    where = f"{prefix}{name}"
    return {key: _value(value, f"{where}.{key}", depth) for key, value in _pairs(members.get(name), where)}


def _pairs(found: Any, where: str, *, key_kind: type = str) -> list[tuple[Any, Any]]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise ContextBroken(f"{where}: expected a list of keys and values, found {_kind(found)}")
    pairs = []
    for index, item in enumerate(found):
        if not isinstance(item, dict) or not isinstance(item.get("key"), key_kind):
            raise ContextBroken(f"{where}[{index}]: expected an object whose key is {_NAMES[key_kind]}")
        pairs.append((item["key"], item.get("value")))
    return pairs


def _value(found: Any, where: str, depth: int) -> Value:
    if depth == 0:
        raise ContextBroken(f"{where}: more than {MAX_VALUE_DEPTH} values inside each other")
    match found:
        case str():
            return read_date(found) or found
        case None | bool() | int() | Decimal():
            return found
        case list():
            return tuple(_value(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(found))
        case dict():
            return _tagged(found, where, depth)
        case _:
            raise ContextBroken(f"{where}: expected a JSON value, found {_kind(found)}")


def _tagged(members: _Members, where: str, depth: int) -> Value:
    prefix = f"{where}."
    match str(members.get("__type", "")).partition(":")[0]:
        case "OptionSetValue":
            choice: int | None = _scalar(members, "Value", prefix=prefix, kind=int)
            return choice
        case "Money":
            return _number(members.get("Value"), f"{prefix}Value")
        case "EntityReference":
            return _reference(members, prefix, depth)
        case "EntityCollection":
            return _collection(members, prefix, depth)
        case "Entity":
            return _entity(members, prefix, depth)
        case "" if "Attributes" in members and "LogicalName" in members:  # images carry no tag
            return _entity(members, prefix, depth)
        case _:
            untagged = ((name, value) for name, value in members.items() if name != "__type")
            return Uninterpreted(
                members={name: _value(value, f"{prefix}{name}", depth - 1) for name, value in untagged}
            )


def _entity(members: _Members, prefix: str, depth: int) -> Entity:
    related = {}
    where = f"{prefix}RelatedEntities"
    for relationship, value in _pairs(members.get("RelatedEntities"), where, key_kind=dict):
        name = _text(relationship, "SchemaName", f"{where}.") or ""
        related[name] = _collection(_object(value, where), f"{where}.", depth - 1)
    formatted = _pairs(members.get("FormattedValues"), f"{prefix}FormattedValues")
    return Entity(
        logical_name=_text(members, "LogicalName", prefix),
        id=_id(members, "Id", prefix),
        attributes=_values(members, "Attributes", prefix=prefix, depth=depth - 1),
        formatted_values={key: value for key, value in formatted if isinstance(value, str)},
        keys=_values(members, "KeyAttributes", prefix=prefix, depth=depth - 1),
        related=related,
    )


def _collection(members: _Members, prefix: str, depth: int) -> EntityCollection:
    found = members.get("Entities") or []
    where = f"{prefix}Entities"
    if not isinstance(found, list):
        raise ContextBroken(f"{where}: expected a list, found {_kind(found)}")
    if depth <= 0:
        raise ContextBroken(f"{where}: more than {MAX_VALUE_DEPTH} values inside each other")
    rows = (_object(item, f"{where}[{index}]") for index, item in enumerate(found))
    return EntityCollection(
        entity_name=_text(members, "EntityName", prefix),
        entities=tuple(_entity(row, f"{where}[{index}].", depth - 1) for index, row in enumerate(rows)),
    )


def _reference(members: _Members, prefix: str, depth: int = MAX_VALUE_DEPTH) -> EntityReference:
    return EntityReference(
        logical_name=_text(members, "LogicalName", prefix),
        id=_id(members, "Id", prefix),
        name=_text(members, "Name", prefix),
        keys=_values(members, "KeyAttributes", prefix=prefix, depth=depth - 1),
    )


def _object(found: Any, where: str) -> _Members:
    if not isinstance(found, dict):
        raise ContextBroken(f"{where}: expected an object, found {_kind(found)}")
    return found


def _text(members: _Members, name: str, prefix: str) -> str | None:
    found = members.get(name)
    if found is not None and not isinstance(found, str):
        raise ContextBroken(f"{prefix}{name}: expected a string, found {_kind(found)}")
    return found or None


def _id(members: _Members, name: str, prefix: str) -> str | None:
    found = _text(members, name, prefix)
    return None if found == _NO_ID else found


def _scalar(members: _Members, name: str, *, prefix: str, kind: type[int]) -> Any:
    """An int, or a bool where `kind` is bool; a bool is no int here."""
    found = members.get(name)
    if found is not None and type(found) is not kind:
        raise ContextBroken(f"{prefix}{name}: expected {_NAMES[kind]}, found {_kind(found)}")
    return found


def _number(found: Any, where: str) -> int | Decimal | None:
    if found is None or type(found) is int or isinstance(found, Decimal):
        return found
    raise ContextBroken(f"{where}: expected a number, found {_kind(found)}")


def _instant(members: _Members, prefix: str) -> Any:
    found = _text(members, "OperationCreatedOn", prefix)
    if found is None:
        return None
    if (instant := read_instant(found)) is None:
        raise ContextBroken(f"{prefix}OperationCreatedOn: expected /Date(…)/ or an ISO-8601 date, found {found!r:.60}")
    return instant


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "an integer",
    Decimal: "a number",
    type(None): "null",
}


def _kind(found: Any) -> str:
    return _NAMES.get(type(found), "something else")
