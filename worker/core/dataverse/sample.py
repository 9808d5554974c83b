"""Events to try things out with, as Dataverse would send them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from worker.core.dataverse.context import (
    Entity,
    EntityReference,
    Money,
    OptionSetValue,
    Relationship,
    RemoteExecutionContext,
    Value,
)

NewId: TypeAlias = Callable[[], UUID]

AFTER_OPERATION = 40  # the stage within its transaction
SYNCHRONOUS, ASYNCHRONOUS = 0, 1


class Sample(StrEnum):
    CREATE_ACCOUNT = "create-account"
    UPDATE = "update"
    DELETE = "delete"
    ASSOCIATE = "associate"
    CUSTOM_API = "custom-api"


def sample(which: Sample, *, at: datetime, new_id: NewId) -> RemoteExecutionContext:
    """`new_id` is asked for every id in it."""
    if which is Sample.CREATE_ACCOUNT:
        return sample_row("Create", "account", _columns(at, new_id), at=at, new_id=new_id)
    account = EntityReference(logical_name="account", id=str(new_id()))
    match which:
        case Sample.UPDATE:
            return _update(account, at, new_id)
        case Sample.DELETE:
            before = Entity(logical_name="account", id=account.id, attributes={"name": "Contoso"})
            event = _event("Delete", account, {"Target": account}, at=at, new_id=new_id)
            return replace(event, pre_entity_images={"PreImage": before})
        case Sample.ASSOCIATE:
            contact = EntityReference(logical_name="contact", id=str(new_id()))
            related: dict[str, Value] = {
                "Target": account,
                "Relationship": Relationship(schema_name="contoso_account_contact"),
                "RelatedEntities": (contact,),
            }
            return _event("Associate", account, related, at=at, new_id=new_id)
        case Sample.CUSTOM_API:
            asked: dict[str, Value] = {"Customer": account, "Amount": Money(value=Decimal("1250.50")), "Urgent": True}
            return _event("contoso_CheckCredit", EntityReference(), asked, at=at, new_id=new_id)


def sample_row(
    message: str, table: str, attributes: Mapping[str, Value], *, at: datetime, new_id: NewId
) -> RemoteExecutionContext:
    """A synchronous step after Create or Update of one row."""
    row = EntityReference(logical_name=table, id=str(new_id()))
    target = Entity(logical_name=table, id=row.id, attributes=attributes)
    event = _event(message, row, {"Target": target}, at=at, new_id=new_id)
    return replace(event, output_parameters={"id": row.id}) if message == "Create" else event


def _update(account: EntityReference, at: datetime, new_id: NewId) -> RemoteExecutionContext:
    target = Entity(
        logical_name="account",
        id=account.id,
        attributes={"creditlimit": Money(value=Decimal(250_000)), "statuscode": OptionSetValue(value=1)},
        formatted_values={"creditlimit": "€ 250,000.00", "statuscode": "Active"},
    )
    before = replace(
        target,
        attributes={"creditlimit": Money(value=Decimal(100_000)), "statuscode": OptionSetValue(value=1)},
        formatted_values={"creditlimit": "€ 100,000.00", "statuscode": "Active"},
    )
    return replace(
        _event("Update", account, {"Target": target}, at=at, new_id=new_id),
        mode=ASYNCHRONOUS,
        request_id=str(new_id()),
        pre_entity_images={"PreImage": before},
        post_entity_images={"PostImage": target},
    )


def _columns(at: datetime, new_id: NewId) -> dict[str, Value]:
    return {
        "name": "Contoso Zürich",
        "numberofemployees": 120,
        "donotemail": False,
        "exchangerate": Decimal("1.0625"),
        "creditlimit": Money(value=Decimal("250000.00")),
        "industrycode": OptionSetValue(value=12),
        "contoso_regions": (OptionSetValue(value=3), OptionSetValue(value=5)),
        "primarycontactid": EntityReference(logical_name="contact", id=str(new_id()), name="Ann Lee"),
        "lastusedincampaign": at - timedelta(days=30),
        "description": None,
    }


def _event(
    message: str, row: EntityReference, parameters: Mapping[str, Value], *, at: datetime, new_id: NewId
) -> RemoteExecutionContext:
    user, operation = str(new_id()), str(new_id())
    step = EntityReference(
        logical_name="sdkmessageprocessingstep", id=str(new_id()), name=f"flowbridge sample: {message}"
    )
    return RemoteExecutionContext(
        message_name=message,
        primary_entity_name=row.logical_name,
        primary_entity_id=row.id,
        stage=AFTER_OPERATION,
        mode=SYNCHRONOUS,
        depth=1,
        isolation_mode=1,
        is_in_transaction=True,
        is_executing_offline=False,
        is_offline_playback=False,
        business_unit_id=str(new_id()),
        correlation_id=str(new_id()),
        operation_id=operation,
        operation_created_on=at.replace(microsecond=at.microsecond // 1000 * 1000),
        request_id=operation,
        organization_id=str(new_id()),
        organization_name="flowbridge-sample",
        user_id=user,
        user_azure_active_directory_object_id=str(new_id()),
        initiating_user_id=user,
        initiating_user_azure_active_directory_object_id=str(new_id()),
        initiating_user_agent="flowbridge",
        owning_extension=step,
        input_parameters=parameters,
    )
