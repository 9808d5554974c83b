"""Contexts written by ourselves, in every shape that the real ones were seen to have."""

from typing import Any
from uuid import uuid4

import pytest

CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"


def tagged(kind: str, **members: Any) -> dict[str, Any]:
    return {"__type": f"{kind}:{CONTRACTS}", **members}


def pairs(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def entity(table: str, row: str, **attributes: Any) -> dict[str, Any]:
    return {
        "Attributes": pairs(**attributes),
        "EntityState": None,
        "FormattedValues": pairs(creditlimit="€ 100,50"),
        "Id": row,
        "KeyAttributes": [],
        "LogicalName": table,
        "RelatedEntities": [],
        "RowVersion": None,
    }


@pytest.fixture
def row() -> str:
    return str(uuid4())


@pytest.fixture
def context(row: str) -> dict[str, Any]:
    target = entity(
        "account",
        row,
        name="Contoso Ünïted",
        creditlimit=tagged("Money", Value=100.5),
        statuscode=tagged("OptionSetValue", Value=1),
        choices=[tagged("OptionSetValue", Value=3), tagged("OptionSetValue", Value=5)],
        modifiedon="/Date(1718000000123)/",
        primarycontactid=tagged("EntityReference", Id=row, KeyAttributes=[], LogicalName="contact", Name="Ann"),
        modifiedonbehalfby=None,
        donotemail=False,
        requiredattendees=[tagged("Entity", **entity("activityparty", row, addressused="ann@example.com"))],
    )
    return {
        "BusinessUnitId": str(uuid4()),
        "CorrelationId": str(uuid4()),
        "Depth": 2,
        "InitiatingUserId": str(uuid4()),
        "InputParameters": pairs(Target=tagged("Entity", **target)),
        "IsExecutingOffline": False,
        "IsInTransaction": True,
        "IsOfflinePlayback": False,
        "IsolationMode": 1,
        "MessageName": "Update",
        "Mode": 1,
        "OperationCreatedOn": "/Date(1718000000000-0700)/",
        "OperationId": str(uuid4()),
        "OrganizationId": str(uuid4()),
        "OrganizationName": "org1",
        "OutputParameters": [],
        "OwningExtension": {"Id": row, "KeyAttributes": [], "LogicalName": "sdkmessageprocessingstep", "Name": None},
        "ParentContext": None,
        "PostEntityImages": pairs(after=entity("account", row, name="Contoso")),
        "PreEntityImages": [],
        "PrimaryEntityId": row,
        "PrimaryEntityName": "account",
        "RequestId": None,
        "SecondaryEntityName": "none",
        "SharedVariables": pairs(
            Changed=[{"__type": "KeyValuePairOfstringstring:#System.Collections.Generic", "key": "a", "value": "b"}]
        ),
        "SomethingNewer": {"x": 1},
        "Stage": 40,
        "UserId": str(uuid4()),
    }
