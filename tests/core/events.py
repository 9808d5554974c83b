"""Requests that carry a Dataverse event, decoded as the worker does."""

import json
from collections.abc import Mapping
from typing import Any

from worker.core.decode import decode
from worker.core.request import Request

from .conftest import delivery_of

CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"
ROW = "6b1c1c1e-6b5e-4f5c-9d43-02c4a2e51f10"
ORGANIZATION = "0f0e0d0c-0b0a-4908-8706-050403020100"
USER = "AAAAAAAA-6b5e-4f5c-9d43-02c4a2e51f10"
STRIPPED = {"MessageMaxSizeExceeded": "true"}


def row(attributes: Mapping[str, Any], row_id: str = ROW) -> dict[str, Any]:
    return {
        "__type": f"Entity:{CONTRACTS}",
        "LogicalName": "account",
        "Id": row_id,
        "Attributes": [{"key": name, "value": value} for name, value in attributes.items()],
    }


def context(parameters: Mapping[str, Any], images: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """After an update of one account by USER, unless told otherwise."""
    return {
        "MessageName": "Update",
        "PrimaryEntityName": "account",
        "Stage": 40,
        "Mode": 0,
        "Depth": 1,
        "OrganizationName": "Contoso",
        "OrganizationId": ORGANIZATION,
        "UserId": USER,
        "InitiatingUserId": USER.lower(),
        "InputParameters": [{"key": name, "value": value} for name, value in parameters.items()],
        "PreEntityImages": [{"key": name, "value": value} for name, value in (images or {}).items()],
        **members,
    }


def update(attributes: Mapping[str, Any], before: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """`before`: the pre-image; None: the step has none."""
    return context({"Target": row(attributes)}, None if before is None else {"before": row(before)}, **members)


def request_of(sent: Mapping[str, Any], **given: Any) -> Request:
    """The message with this context, and whatever else a test gives it."""
    request = decode(delivery_of(body=json.dumps(sent).encode(), content_type="application/json", **given))
    assert isinstance(request, Request), request
    assert request.event is not None
    return request
