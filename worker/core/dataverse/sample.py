"""Contexts to try things out with, in the form in which Dataverse sends them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from worker.core.dataverse.dates import write_date

SampleValue: TypeAlias = str | int | float | bool | datetime | Mapping[str, Any] | list[Mapping[str, Any]] | None

_CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"


def option(value: int) -> dict[str, Any]:
    return {"__type": f"OptionSetValue:{_CONTRACTS}", "Value": value}


def money(value: float) -> dict[str, Any]:
    return {"__type": f"Money:{_CONTRACTS}", "Value": value}


def reference(table: str, row: UUID, name: str | None = None) -> dict[str, Any]:
    return {
        "__type": f"EntityReference:{_CONTRACTS}",
        "Id": str(row),
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": name,
        "RowVersion": None,
    }


def write_sample(
    message: str,
    table: str,
    attributes: Mapping[str, SampleValue],
    *,
    at: datetime,
    new_id: Callable[[], UUID],
) -> bytes:
    """A synchronous step's context after Create or Update of one row; `new_id` is asked for every id in it."""
    row, user, operation = new_id(), str(new_id()), str(new_id())
    target = {
        "__type": f"Entity:{_CONTRACTS}",
        "Attributes": [{"key": name, "value": _written(value)} for name, value in attributes.items()],
        "EntityState": None,
        "FormattedValues": [],
        "Id": str(row),
        "KeyAttributes": [],
        "LogicalName": table,
        "RelatedEntities": [],
        "RowVersion": None,
    }
    step = reference("sdkmessageprocessingstep", new_id(), f"flowbridge sample: {message} of {table}")
    del step["__type"]
    context = {
        "BusinessUnitId": str(new_id()),
        "CorrelationId": str(new_id()),
        "Depth": 1,
        "InitiatingUserAgent": "",
        "InitiatingUserAzureActiveDirectoryObjectId": str(new_id()),
        "InitiatingUserId": user,
        "InputParameters": [{"key": "Target", "value": target}],
        "IsExecutingOffline": False,
        "IsInTransaction": True,
        "IsOfflinePlayback": False,
        "IsolationMode": 1,
        "MessageName": message,
        "Mode": 0,  # synchronous
        "OperationCreatedOn": write_date(at),
        "OperationId": operation,
        "OrganizationId": str(new_id()),
        "OrganizationName": "flowbridge-sample",
        "OutputParameters": [{"key": "id", "value": str(row)}] if message == "Create" else [],
        "OwningExtension": step,
        "ParentContext": None,
        "PostEntityImages": [],
        "PreEntityImages": [],
        "PrimaryEntityId": str(row),
        "PrimaryEntityName": table,
        "RequestId": operation,
        "SecondaryEntityName": "none",
        "SharedVariables": [],
        "Stage": 40,  # after the operation, in its transaction
        "UserAzureActiveDirectoryObjectId": str(new_id()),
        "UserId": user,
    }
    return orjson.dumps(context).replace(b"/", b"\\/")  # as DataContract does; a slash only ever stands in a string


def _written(value: SampleValue) -> Any:
    return write_date(value) if isinstance(value, datetime) else value
