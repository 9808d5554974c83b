"""RemoteExecutionContext, typed. Dates are UTC with milliseconds, GUIDs text; all zeros and the table "none" are None.

`others` holds the members that aren't known here, as they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

Number: TypeAlias = int | Decimal
Choice: TypeAlias = int | str  # of an enumeration: its number, or a name that isn't known here


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSetValue:
    """One choice. A multi-select is a tuple of them."""

    value: int | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    value: Number | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityReference:
    """`id` is None where the row is named by its alternate `keys` alone."""

    logical_name: str | None = None
    id: str | None = None
    name: str | None = None
    keys: Mapping[str, "Value"] = field(default_factory=dict)
    row_version: str | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """`primary_entity_role` is 0 (referencing) or 1 (referenced) where a table is related to itself."""

    schema_name: str | None = None
    primary_entity_role: Choice | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """`related` holds the rows that a deep insert brings along."""

    logical_name: str | None = None
    id: str | None = None
    attributes: Mapping[str, "Value"] = field(default_factory=dict)
    formatted_values: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, "Value"] = field(default_factory=dict)
    related: tuple[tuple[Relationship, "EntityCollection"], ...] = ()
    entity_state: Choice | None = None
    row_version: str | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityCollection:
    entity_name: str | None = None
    entities: tuple[Entity, ...] = ()
    more_records: bool | None = None
    paging_cookie: str | None = None
    min_active_row_version: str | None = None
    total_record_count: int | None = None
    total_record_count_limit_exceeded: bool | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasedValue:
    """A column of a joined table in a query's result."""

    entity_logical_name: str | None = None
    attribute_logical_name: str | None = None
    value: "Value" = None
    need_formatting: bool | None = None
    return_type: int | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSet:
    all_columns: bool | None = None
    columns: tuple[str | None, ...] = ()
    attribute_expressions: tuple["Value", ...] = ()
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`operator` is the number of a ConditionOperator."""

    entity_name: str | None = None
    attribute_name: str | None = None
    operator: Choice | None = None
    values: tuple["Value", ...] = ()
    compare_columns: bool | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`operator`: 0 all of them, 1 any of them."""

    operator: Choice | None = None
    conditions: tuple[Condition, ...] = ()
    filters: tuple["Filter", ...] = ()
    is_quick_find: bool | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`order_type`: 0 ascending, 1 descending."""

    attribute_name: str | None = None
    entity_name: str | None = None
    alias: str | None = None
    order_type: Choice | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    count: int | None = None
    page_number: int | None = None
    paging_cookie: str | None = None
    return_total_record_count: bool | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntity:
    """`join_operator` is the number of a JoinOperator: 0 inner, 1 left outer, …"""

    entity_alias: str | None = None
    join_operator: Choice | None = None
    link_from_entity_name: str | None = None
    link_from_attribute_name: str | None = None
    link_to_entity_name: str | None = None
    link_to_attribute_name: str | None = None
    columns: ColumnSet | None = None
    criteria: Filter | None = None
    link_entities: tuple["LinkEntity", ...] = ()
    orders: tuple[Order, ...] = ()
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryExpression:
    entity_name: str | None = None
    column_set: ColumnSet | None = None
    criteria: Filter | None = None
    link_entities: tuple[LinkEntity, ...] = ()
    orders: tuple[Order, ...] = ()
    page_info: Paging | None = None
    top_count: int | None = None
    distinct: bool | None = None
    no_lock: bool | None = None
    others: Mapping[str, "Value"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninterpreted:
    """An object of a type that isn't known here: the name of its type, where it says one, and its members."""

    type: str | None = None
    members: Mapping[str, "Value"]


Contracted: TypeAlias = (
    OptionSetValue
    | Money
    | EntityReference
    | Relationship
    | Entity
    | EntityCollection
    | AliasedValue
    | ColumnSet
    | Condition
    | Filter
    | Order
    | Paging
    | LinkEntity
    | QueryExpression
)
Value: TypeAlias = str | int | Decimal | bool | datetime | Contracted | Uninterpreted | tuple["Value", ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteExecutionContext:
    """One execution of one message."""

    message_name: str
    primary_entity_name: str | None = None
    primary_entity_id: str | None = None
    secondary_entity_name: str | None = None
    stage: int | None = None
    mode: int | None = None
    depth: int | None = None
    isolation_mode: int | None = None
    is_in_transaction: bool | None = None
    is_executing_offline: bool | None = None
    is_offline_playback: bool | None = None
    business_unit_id: str | None = None
    correlation_id: str | None = None
    operation_id: str | None = None
    operation_created_on: datetime | None = None
    request_id: str | None = None
    organization_id: str | None = None
    organization_name: str | None = None
    user_id: str | None = None
    user_azure_active_directory_object_id: str | None = None
    initiating_user_id: str | None = None
    initiating_user_azure_active_directory_object_id: str | None = None
    initiating_user_agent: str | None = None
    owning_extension: EntityReference | None = None
    input_parameters: Mapping[str, Value] = field(default_factory=dict)
    output_parameters: Mapping[str, Value] = field(default_factory=dict)
    shared_variables: Mapping[str, Value] = field(default_factory=dict)
    pre_entity_images: Mapping[str, Entity] = field(default_factory=dict)
    post_entity_images: Mapping[str, Entity] = field(default_factory=dict)
    parent_context: "RemoteExecutionContext | None" = None
    others: Mapping[str, Value] = field(default_factory=dict)
