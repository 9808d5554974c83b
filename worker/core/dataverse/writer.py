"""From the typed context to members, tagged with `__type` where DataContract tags."""

from collections.abc import Mapping
from typing import Any, assert_never

from worker.core.dataverse.context import RemoteExecutionContext, Uninterpreted, Value
from worker.core.dataverse.contracts import (
    BOOLEAN,
    CONTRACT_OF,
    CONTRACTS_NAMESPACE,
    DATE_TIME,
    INT,
    Anything,
    Contract,
    Enumeration,
    Kind,
    Many,
    Pairs,
    Row,
    Scalar,
)
from worker.core.dataverse.json_form import exact

_NEVER_NULL = (INT, BOOLEAN, DATE_TIME)  # .NET leaves them out instead
_PAIRS_NAMESPACE = "#System.Collections.Generic"


def members_of(context: RemoteExecutionContext) -> dict[str, Any]:
    """Dates and Decimals are left to the form."""
    return _row(CONTRACT_OF[RemoteExecutionContext], context)


def _row(contract: Contract, row: Any) -> dict[str, Any]:
    members = ((name, member.kind, getattr(row, member.field)) for name, member in contract.members.items())
    known = {
        name: _of_kind(kind, value) for name, kind, value in members if value is not None or kind not in _NEVER_NULL
    }
    return known | {name: _value(value) for name, value in row.others.items()}


def _of_kind(kind: Kind, value: Any) -> Any:
    match kind:
        case Scalar():
            return kind.absent if value is None else exact(value)
        case Enumeration():
            return value
        case Anything():
            return _value(value)
        case Row():
            return None if value is None else _row(CONTRACT_OF[type(value)], value)
        case Many(of=of):
            return [_of_kind(of, item) for item in value]
        case Pairs(key=key_kind, value=value_kind):
            pairs = value.items() if isinstance(value, Mapping) else value
            return [{"key": _of_kind(key_kind, key), "value": _of_kind(value_kind, item)} for key, item in pairs]
        case _:
            assert_never(kind)


def _value(value: Value) -> Any:
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, Uninterpreted):
        tag = {} if value.type is None else {"__type": _tag(value.type)}
        return tag | {name: _value(item) for name, item in value.members.items()}
    contract = CONTRACT_OF.get(type(value))
    if contract is None:
        return exact(value)
    return {"__type": _tag(contract.name)} | _row(contract, value)


def _tag(name: str) -> str:
    is_pair = name.startswith("KeyValuePairOf")
    return f"{name}:{_PAIRS_NAMESPACE if is_pair else CONTRACTS_NAMESPACE}"
