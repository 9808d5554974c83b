"""Our readers and writers against what .NET's own serialisers wrote."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from worker.core.dataverse.context import (
    AliasedValue,
    Condition,
    Entity,
    EntityCollection,
    EntityReference,
    Money,
    OptionSetValue,
    QueryExpression,
    Relationship,
    RemoteExecutionContext,
    Uninterpreted,
    Value,
)
from worker.core.dataverse.document import ContextBroken
from worker.core.dataverse.forms import Form, form_of, read, write

BODIES = Path(__file__).parent / "dotnet" / "bodies"
EVENTS = sorted(path.stem for path in BODIES.glob("*.xml"))
# JSON loses the offset of a local date and can't tell a date from a text like one; XML rounds the smallest double.
BLURRED = ("DateLocal", "DoubleTiny", "StringLooksLikeDate")


def body(name: str) -> bytes:
    return (BODIES / name).read_bytes()


def sharp(context: RemoteExecutionContext) -> RemoteExecutionContext:
    parameters = {name: value for name, value in context.input_parameters.items() if name not in BLURRED}
    return replace(context, input_parameters=parameters)


def target(event: str) -> Entity:
    found = read(body(f"{event}.msbin1")).input_parameters["Target"]
    assert isinstance(found, Entity)
    return found


@pytest.mark.parametrize("event", EVENTS)
def test_xml_and_binary_of_one_event_are_equal(event: str) -> None:
    assert sharp(read(body(f"{event}.msbin1"))) == sharp(read(body(f"{event}.xml")))


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "not_finite"])
def test_json_of_the_event_is_equal_to_both(event: str) -> None:
    assert sharp(read(body(f"{event}.json"))) == sharp(read(body(f"{event}.xml")))


@pytest.mark.parametrize("name", ["create_account.session.msbin1", "create_account.wrapped.bin"])
def test_a_table_of_strings_in_front_and_a_legacy_wrapper_change_nothing(name: str) -> None:
    assert read(body(name)) == read(body("create_account.xml"))


def test_a_json_number_that_is_none_is_refused() -> None:
    with pytest.raises(ContextBroken, match="NaN is no JSON number"):
        read(body("not_finite.json"))
    assert read(body("not_finite.msbin1")) == read(body("not_finite.xml"))


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("event", EVENTS)
def test_what_dotnet_wrote_is_written_again_in_each_form(event: str, form: Form) -> None:
    context = sharp(read(body(f"{event}.xml")))
    assert read(write(context, form)) == context


@pytest.mark.parametrize("event", EVENTS)
def test_each_body_is_known_by_its_look(event: str) -> None:
    for form in Form:
        assert form_of(body(f"{event}.{form}")) is form


def test_every_type_of_column_is_read() -> None:
    columns = target("create_account").attributes
    kinds = {type(value) for value in columns.values()}
    assert {str, int, Decimal, bool, datetime, Money, OptionSetValue, EntityReference, tuple, type(None)} <= kinds
    choices = next(
        value
        for value in columns.values()
        if isinstance(value, tuple) and value and isinstance(value[0], OptionSetValue)
    )
    assert len(choices) > 1


def test_dates_are_utc_whatever_their_kind() -> None:
    dates = [value for value in target("create_account").attributes.values() if isinstance(value, datetime)]
    assert dates
    assert all(date.tzinfo is UTC for date in dates)


def test_an_association_has_its_relationship_and_its_rows() -> None:
    parameters = read(body("associate.msbin1")).input_parameters
    assert isinstance(parameters["Target"], EntityReference)
    assert isinstance(parameters["Relationship"], Relationship)
    related = parameters["RelatedEntities"]
    assert isinstance(related, tuple)
    assert all(isinstance(row, EntityReference) for row in related)


def test_a_query_is_typed_down_to_its_conditions() -> None:
    query = read(body("retrieve_multiple.msbin1")).input_parameters["Query"]
    assert isinstance(query, QueryExpression)
    assert query.criteria is not None
    assert all(isinstance(condition, Condition) for condition in query.criteria.conditions)
    assert query.link_entities
    assert query.page_info is not None
    rows = read(body("retrieve_multiple.msbin1")).output_parameters["BusinessEntityCollection"]
    assert isinstance(rows, EntityCollection)
    assert any(isinstance(value, AliasedValue) for value in rows.entities[0].attributes.values())


def test_a_deep_insert_brings_its_rows() -> None:
    assert target("deep_insert").related


def test_parents_and_images_are_read_to_the_last() -> None:
    context = read(body("update_contact.msbin1"))
    assert context.parent_context is not None
    assert context.parent_context.parent_context is not None
    assert all(isinstance(image, Entity) for image in context.pre_entity_images.values())
    assert context.pre_entity_images


def test_a_stripped_context_has_no_parameters_left() -> None:
    context = read(body("truncated.msbin1"))
    assert (context.input_parameters, context.pre_entity_images, context.parent_context) == ({}, {}, None)


def all_values(value: Value | RemoteExecutionContext) -> list[object]:
    members = getattr(value, "__slots__", ())
    inner = [getattr(value, name) for name in members]
    if isinstance(value, dict):
        inner = list(value.values())
    if isinstance(value, tuple):
        inner = list(value)
    return [value, *(found for each in inner for found in all_values(each))]


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_is_left_unknown_but_what_was_made_so(event: str) -> None:
    values = all_values(read(body(f"{event}.msbin1")))
    unknown = {value.type for value in values if isinstance(value, Uninterpreted)}
    assert unknown <= {"KeyValuePairOfstringstring", "KeyValuePairOfstringanyType", None}
    others = {name for value in values for name in getattr(value, "others", ())}
    assert others <= {"Unknown"}
