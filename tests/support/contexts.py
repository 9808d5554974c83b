"""Contexts of every shape, for Hypothesis. `XML_TEXT` is what XML can carry at all."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

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
    Uninterpreted,
    Value,
)
from worker.core.dataverse.dates import read_date

XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from("\t\n\r&<>\"'/{}[]\\"),
    max_size=12,
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
IDS = st.uuids().map(str).filter(lambda text: text != "00000000-0000-0000-0000-000000000000")
NUMBERS = (
    st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, 127, -128, 32_768, 2**31, -(2**63), 2**63])
    | st.decimals(-(10**14), 10**14, places=4)
)
INSTANTS = st.datetimes(min_value=datetime(1753, 1, 1), max_value=datetime(9999, 12, 31)).map(  # noqa: DTZ001 - hypothesis wants them bare
    lambda instant: instant.replace(tzinfo=UTC, microsecond=instant.microsecond // 1000 * 1000)
)
TEXTS = XML_TEXT.filter(lambda text: read_date(text) is None)
MEMBERS_TEXT = st.none() | TEXTS.filter(lambda text: text not in ("", "none"))


def rows(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Entity]:
    return st.builds(
        Entity,
        logical_name=MEMBERS_TEXT,
        id=st.none() | IDS,
        attributes=st.dictionaries(NAMES, values, max_size=4),
        formatted_values=st.dictionaries(NAMES, TEXTS.filter(bool), max_size=2),
        keys=st.dictionaries(NAMES, TEXTS | NUMBERS, max_size=1),
        related=st.lists(
            st.tuples(RELATIONSHIPS, collections(st.just(Entity(logical_name="contact")))), max_size=1
        ).map(tuple),
        entity_state=st.none() | st.integers(0, 2),
        row_version=MEMBERS_TEXT,
    )


def collections(of: st.SearchStrategy[Entity]) -> st.SearchStrategy[EntityCollection]:
    return st.builds(
        EntityCollection,
        entity_name=MEMBERS_TEXT,
        entities=st.lists(of, max_size=2).map(tuple),
        more_records=st.none() | st.booleans(),
        paging_cookie=MEMBERS_TEXT,
        total_record_count=st.none() | st.integers(-1, 5000),
    )


RELATIONSHIPS = st.builds(
    Relationship, schema_name=MEMBERS_TEXT, primary_entity_role=st.none() | st.sampled_from([0, 1])
)
CHOICES = st.builds(OptionSetValue, value=st.integers(-(2**31), 2**31 - 1))
REFERENCES = st.builds(
    EntityReference,
    logical_name=MEMBERS_TEXT,
    id=st.none() | IDS,
    name=MEMBERS_TEXT,
    keys=st.dictionaries(NAMES, TEXTS, max_size=1),
)
COLUMNS = st.builds(ColumnSet, all_columns=st.booleans(), columns=st.lists(NAMES, max_size=2).map(tuple))
CONDITIONS = st.builds(
    Condition,
    entity_name=MEMBERS_TEXT,
    attribute_name=MEMBERS_TEXT,
    operator=st.none() | st.integers(0, 88),
    values=st.lists(TEXTS | NUMBERS | IDS | INSTANTS, max_size=2).map(tuple),
)
FILTERS = st.builds(
    Filter,
    operator=st.sampled_from([0, 1]),
    conditions=st.lists(CONDITIONS, max_size=2).map(tuple),
    filters=st.just((Filter(operator=1),)) | st.just(()),
)
LINKS = st.builds(LinkEntity, join_operator=st.integers(0, 9), columns=COLUMNS, criteria=FILTERS, entity_alias=NAMES)
QUERIES = st.builds(
    QueryExpression,
    entity_name=NAMES,
    column_set=COLUMNS,
    criteria=FILTERS,
    link_entities=st.lists(LINKS, max_size=1).map(tuple),
    orders=st.lists(st.builds(Order, attribute_name=NAMES, order_type=st.sampled_from([0, 1])), max_size=1).map(tuple),
    page_info=st.builds(Paging, count=st.integers(0, 5000), paging_cookie=MEMBERS_TEXT),
    top_count=st.none() | st.integers(1, 5000),
    distinct=st.booleans(),
)
SCALARS: st.SearchStrategy[Value] = st.none() | st.booleans() | NUMBERS | TEXTS | IDS | INSTANTS
VALUES: st.SearchStrategy[Value] = (
    SCALARS
    | CHOICES
    | st.lists(CHOICES, min_size=1, max_size=3).map(tuple)
    | st.lists(REFERENCES, min_size=1, max_size=2).map(tuple)
    | st.lists(SCALARS, max_size=2).map(tuple)
    | st.builds(Money, value=st.decimals(-(10**14), 10**14, places=4))
    | REFERENCES
    | RELATIONSHIPS
    | st.builds(AliasedValue, entity_logical_name=NAMES, attribute_logical_name=NAMES, value=SCALARS)
    | st.builds(Uninterpreted, type=st.just("Newer"), members=st.dictionaries(NAMES, SCALARS, max_size=2))
)


def contexts(values: st.SearchStrategy[Value] = VALUES) -> st.SearchStrategy[RemoteExecutionContext]:
    entities = rows(values)
    parameters = st.dictionaries(NAMES, values | entities | collections(entities) | QUERIES, max_size=3)
    plain: dict[str, Any] = {
        "message_name": XML_TEXT.filter(bool),
        "primary_entity_name": MEMBERS_TEXT,
        "primary_entity_id": st.none() | IDS,
        "stage": st.none() | st.sampled_from([10, 20, 30, 40]),
        "mode": st.none() | st.sampled_from([0, 1]),
        "depth": st.none() | st.integers(0, 9),
        "is_in_transaction": st.none() | st.booleans(),
        "operation_id": st.none() | IDS,
        "operation_created_on": st.none() | INSTANTS,
        "organization_name": MEMBERS_TEXT,
        "owning_extension": st.none() | REFERENCES,
        "input_parameters": parameters,
        "shared_variables": parameters,
        "pre_entity_images": st.dictionaries(NAMES, entities, max_size=1),
        "others": st.dictionaries(NAMES.map(lambda name: f"X{name}"), values, max_size=1),
    }
    leaf = st.builds(RemoteExecutionContext, **plain)
    return leaf | st.builds(RemoteExecutionContext, **plain, parent_context=leaf)
