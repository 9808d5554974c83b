"""The data contracts of Microsoft.Xrm.Sdk that a context is made of: the one description behind every form of it.

Members stand in the order in which a DataContract serialiser writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from worker.core.dataverse.context import (
    AliasedValue,
    ColumnSet,
    Condition,
    Entity,
    EntityCollection,
    EntityReference,
    Filter,
    LinkEntity,
    Money,
    OptionSetValue,
    Order,
    Paging,
    QueryExpression,
    Relationship,
    RemoteExecutionContext,
)
from worker.core.dataverse.enumerations import CONDITION_OPERATORS, ENTITY_ROLES, ENTITY_STATES, JOINS, LOGICAL, ORDERS

ROOT: Final = "RemoteExecutionContext"
CONTRACTS_NAMESPACE: Final = "http://schemas.microsoft.com/xrm/2011/Contracts"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`xsd`: its type in XML. None is written as `absent`, and `absent` is read as None."""

    xsd: str
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A number in JSON, a name in XML."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A list, of elements called `item` in XML, with the prefix of their namespace in `folding`."""

    item: str
    of: "Kind"


@dataclass(frozen=True, slots=True)
class Pairs:
    """A list of keys and values, of elements called `item` in XML."""

    item: str
    key: "Kind"
    value: "Kind"


@dataclass(frozen=True, slots=True)
class Row:
    """An object, by the name of its contract."""

    contract: str


@dataclass(frozen=True, slots=True)
class Anything:
    """A value that says its own type."""


Kind: TypeAlias = Scalar | Enumeration | Many | Pairs | Row | Anything


@dataclass(frozen=True, slots=True)
class Member:
    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Contract:
    name: str
    model: type
    members: Mapping[str, Member]  # by their names on the wire


ANYTHING: Final = Anything()
STRING: Final = Scalar("string")
INT: Final = Scalar("int")
BOOLEAN: Final = Scalar("boolean")
GUID: Final = Scalar("guid")
DATE_TIME: Final = Scalar("dateTime")
DECIMAL: Final = Scalar("decimal")

_ID = Scalar("guid", absent="00000000-0000-0000-0000-000000000000")
NO_TABLE: Final = "none"
_TABLE = Scalar("string", absent=NO_TABLE)
_PARAMETERS = Pairs("KeyValuePairOfstringanyType", STRING, ANYTHING)
_KEYS = Pairs("k:KeyValuePairOfstringanyType", STRING, ANYTHING)
# The serialiser puts a hash of their namespaces behind the names of types from elsewhere.
_IMAGES = Pairs("KeyValuePairOfstringEntitygUGIFE1S", STRING, Row("Entity"))
_RELATED = Pairs("KeyValuePairOfRelationshipEntityCollectionX_PsK4FkN", Row("Relationship"), Row("EntityCollection"))


def tag_of(members: Mapping[str, Any]) -> str:
    """The name in `__type`, without its namespace; empty where there is none."""
    return str(members.get("__type", "")).partition(":")[0]


def _contract(name: str, model: type, **members: tuple[str, Kind]) -> Contract:
    return Contract(name, model, {wire: Member(*member) for wire, member in members.items()})


_ALL = (
    _contract(
        ROOT,
        RemoteExecutionContext,
        BusinessUnitId=("business_unit_id", _ID),
        CorrelationId=("correlation_id", _ID),
        Depth=("depth", INT),
        InitiatingUserAgent=("initiating_user_agent", STRING),
        InitiatingUserAzureActiveDirectoryObjectId=("initiating_user_azure_active_directory_object_id", _ID),
        InitiatingUserId=("initiating_user_id", _ID),
        InputParameters=("input_parameters", _PARAMETERS),
        IsExecutingOffline=("is_executing_offline", BOOLEAN),
        IsInTransaction=("is_in_transaction", BOOLEAN),
        IsOfflinePlayback=("is_offline_playback", BOOLEAN),
        IsolationMode=("isolation_mode", INT),
        MessageName=("message_name", STRING),
        Mode=("mode", INT),
        OperationCreatedOn=("operation_created_on", DATE_TIME),
        OperationId=("operation_id", _ID),
        OrganizationId=("organization_id", _ID),
        OrganizationName=("organization_name", STRING),
        OutputParameters=("output_parameters", _PARAMETERS),
        OwningExtension=("owning_extension", Row("EntityReference")),
        ParentContext=("parent_context", Row("RemoteExecutionContext")),
        PostEntityImages=("post_entity_images", _IMAGES),
        PreEntityImages=("pre_entity_images", _IMAGES),
        PrimaryEntityId=("primary_entity_id", _ID),
        PrimaryEntityName=("primary_entity_name", _TABLE),
        RequestId=("request_id", GUID),
        SecondaryEntityName=("secondary_entity_name", _TABLE),
        SharedVariables=("shared_variables", _PARAMETERS),
        Stage=("stage", INT),
        UserAzureActiveDirectoryObjectId=("user_azure_active_directory_object_id", _ID),
        UserId=("user_id", _ID),
    ),
    _contract("OptionSetValue", OptionSetValue, Value=("value", INT)),
    _contract("Money", Money, Value=("value", DECIMAL)),
    _contract(
        "EntityReference",
        EntityReference,
        Id=("id", _ID),
        KeyAttributes=("keys", _KEYS),
        LogicalName=("logical_name", STRING),
        Name=("name", STRING),
        RowVersion=("row_version", STRING),
    ),
    _contract(
        "Relationship",
        Relationship,
        PrimaryEntityRole=("primary_entity_role", Enumeration(ENTITY_ROLES)),
        SchemaName=("schema_name", STRING),
    ),
    _contract(
        "Entity",
        Entity,
        Attributes=("attributes", _PARAMETERS),
        EntityState=("entity_state", Enumeration(ENTITY_STATES)),
        FormattedValues=("formatted_values", Pairs("KeyValuePairOfstringstring", STRING, STRING)),
        Id=("id", _ID),
        KeyAttributes=("keys", _KEYS),
        LogicalName=("logical_name", STRING),
        RelatedEntities=("related", _RELATED),
        RowVersion=("row_version", STRING),
    ),
    _contract(
        "EntityCollection",
        EntityCollection,
        Entities=("entities", Many("Entity", Row("Entity"))),
        EntityName=("entity_name", STRING),
        MinActiveRowVersion=("min_active_row_version", STRING),
        MoreRecords=("more_records", BOOLEAN),
        PagingCookie=("paging_cookie", STRING),
        TotalRecordCount=("total_record_count", INT),
        TotalRecordCountLimitExceeded=("total_record_count_limit_exceeded", BOOLEAN),
    ),
    _contract(
        "AliasedValue",
        AliasedValue,
        AttributeLogicalName=("attribute_logical_name", STRING),
        EntityLogicalName=("entity_logical_name", STRING),
        NeedFormatting=("need_formatting", BOOLEAN),
        ReturnType=("return_type", INT),
        Value=("value", ANYTHING),
    ),
    _contract(
        "ColumnSet",
        ColumnSet,
        AllColumns=("all_columns", BOOLEAN),
        AttributeExpressions=("attribute_expressions", Many("XrmAttributeExpression", ANYTHING)),
        Columns=("columns", Many("r:string", STRING)),
    ),
    _contract(
        "ConditionExpression",
        Condition,
        AttributeName=("attribute_name", STRING),
        CompareColumns=("compare_columns", BOOLEAN),
        Operator=("operator", Enumeration(CONDITION_OPERATORS)),
        Values=("values", Many("r:anyType", ANYTHING)),
        EntityName=("entity_name", STRING),
    ),
    _contract(
        "FilterExpression",
        Filter,
        Conditions=("conditions", Many("ConditionExpression", Row("ConditionExpression"))),
        FilterOperator=("operator", Enumeration(LOGICAL)),
        Filters=("filters", Many("FilterExpression", Row("FilterExpression"))),
        IsQuickFindFilter=("is_quick_find", BOOLEAN),
    ),
    _contract(
        "OrderExpression",
        Order,
        AttributeName=("attribute_name", STRING),
        OrderType=("order_type", Enumeration(ORDERS)),
        Alias=("alias", STRING),
        EntityName=("entity_name", STRING),
    ),
    _contract(
        "PagingInfo",
        Paging,
        Count=("count", INT),
        PageNumber=("page_number", INT),
        PagingCookie=("paging_cookie", STRING),
        ReturnTotalRecordCount=("return_total_record_count", BOOLEAN),
    ),
    _contract(
        "LinkEntity",
        LinkEntity,
        Columns=("columns", Row("ColumnSet")),
        EntityAlias=("entity_alias", STRING),
        JoinOperator=("join_operator", Enumeration(JOINS)),
        LinkCriteria=("criteria", Row("FilterExpression")),
        LinkEntities=("link_entities", Many("LinkEntity", Row("LinkEntity"))),
        LinkFromAttributeName=("link_from_attribute_name", STRING),
        LinkFromEntityName=("link_from_entity_name", STRING),
        LinkToAttributeName=("link_to_attribute_name", STRING),
        LinkToEntityName=("link_to_entity_name", STRING),
        Orders=("orders", Many("OrderExpression", Row("OrderExpression"))),
    ),
    _contract(
        "QueryExpression",
        QueryExpression,
        ColumnSet=("column_set", Row("ColumnSet")),
        Criteria=("criteria", Row("FilterExpression")),
        Distinct=("distinct", BOOLEAN),
        EntityName=("entity_name", STRING),
        LinkEntities=("link_entities", Many("LinkEntity", Row("LinkEntity"))),
        Orders=("orders", Many("OrderExpression", Row("OrderExpression"))),
        PageInfo=("page_info", Row("PagingInfo")),
        NoLock=("no_lock", BOOLEAN),
        TopCount=("top_count", INT),
    ),
)
CONTRACTS: Final = {contract.name: contract for contract in _ALL}
CONTRACT_OF: Final = {contract.model: contract for contract in _ALL}
