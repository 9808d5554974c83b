"""RemoteExecutionContext, typed. Choices are their numbers, Money its amount, dates UTC; GUIDs stay text."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityReference:
    """`id` is None where the row is named by its alternate `keys` alone."""

    logical_name: str | None
    id: str | None
    name: str | None
    keys: Mapping[str, "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """`related` holds the rows that a deep insert brings along, by relationship name."""

    logical_name: str | None
    id: str | None
    attributes: Mapping[str, "Value"]
    formatted_values: Mapping[str, str]
    keys: Mapping[str, "Value"]
    related: Mapping[str, "EntityCollection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityCollection:
    entity_name: str | None
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninterpreted:
    """An object of a type that no caller asked for yet (a query, a relationship): its members as they came."""

    members: Mapping[str, "Value"]


Value: TypeAlias = (
    str
    | int
    | Decimal
    | bool
    | datetime
    | EntityReference
    | Entity
    | EntityCollection
    | Uninterpreted
    | tuple["Value", ...]
    | None
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteExecutionContext:
    """One execution of one message. Ids that are all zeros and the table name "none" are None."""

    message_name: str
    primary_entity_name: str | None
    primary_entity_id: str | None
    secondary_entity_name: str | None
    stage: int | None
    mode: int | None
    depth: int | None
    isolation_mode: int | None
    is_in_transaction: bool | None
    is_executing_offline: bool | None
    is_offline_playback: bool | None
    business_unit_id: str | None
    correlation_id: str | None
    operation_id: str | None
    operation_created_on: datetime | None
    request_id: str | None
    organization_id: str | None
    organization_name: str | None
    user_id: str | None
    user_azure_active_directory_object_id: str | None
    initiating_user_id: str | None
    initiating_user_azure_active_directory_object_id: str | None
    initiating_user_agent: str | None
    owning_extension: EntityReference | None
    input_parameters: Mapping[str, Value]
    output_parameters: Mapping[str, Value]
    shared_variables: Mapping[str, Value]
    pre_entity_images: Mapping[str, Value]
    post_entity_images: Mapping[str, Value]
    parent_context: "RemoteExecutionContext | None"
