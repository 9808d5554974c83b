from dataclasses import replace
from decimal import Decimal

import pytest

from worker.core.dataverse.changes import brings, changes
from worker.core.dataverse.context import (
    Entity,
    EntityCollection,
    EntityReference,
    Money,
    OptionSetValue,
    RemoteExecutionContext,
    Value,
)

ROW = "0f7a4f1e-8f0f-4a55-9a38-0d3f2b1f6c11"
CONTACT = "6b7d0b52-2f64-4a1c-9d2e-7a7f4c0e9b21"


def row(**columns: Value) -> Entity:
    return Entity(logical_name="account", id=ROW, attributes=columns)


def event(target: Value, *images: Entity) -> RemoteExecutionContext:
    return RemoteExecutionContext(
        message_name="Update",
        input_parameters={"Target": target},
        pre_entity_images={f"image{index}": image for index, image in enumerate(images)},
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Money(value=100), Money(value=Decimal("100.5"))),
        (OptionSetValue(value=1), OptionSetValue(value=2)),
        ((OptionSetValue(value=1),), (OptionSetValue(value=1), OptionSetValue(value=2))),
        (EntityReference(logical_name="contact", id=CONTACT), EntityReference(logical_name="account", id=CONTACT)),
        (EntityReference(logical_name="contact", id=CONTACT), None),
        ("a", "A"),
        (None, 0),
    ],
)
def test_another_value_is_a_change(before: Value, after: Value) -> None:
    assert changes(event(row(x=after), row(x=before)), "x")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Money(value=100), Money(value=Decimal("100.00"))),
        (
            EntityReference(logical_name="contact", id=CONTACT, name="Ann Lee"),
            EntityReference(logical_name="contact", id=CONTACT.upper()),
        ),
        ((OptionSetValue(value=1),), (OptionSetValue(value=1),)),
        (None, None),
        ("a", "a"),
    ],
)
def test_the_same_value_in_other_clothes_is_none(before: Value, after: Value) -> None:
    assert not changes(event(row(x=after), row(x=before)), "x")


def test_what_an_image_leaves_out_was_null() -> None:
    assert changes(event(row(x=1), row(y=2)), "x")
    assert not changes(event(row(x=None), row(y=2)), "x")


def test_without_an_image_everything_that_is_brought_counts_as_changed() -> None:
    assert changes(event(row(x=None)), "x")
    assert not changes(event(row(x=1)), "y")


def test_images_with_different_columns_are_looked_at_together() -> None:
    assert not changes(event(row(x=1), row(y=2), row(x=1)), "x")


def test_the_image_of_another_row_says_nothing() -> None:
    other = replace(row(x=1), id=CONTACT)
    assert changes(event(row(x=1), other), "x")


def test_several_rows_at_once_bring_and_change_what_one_of_them_does() -> None:
    rows = EntityCollection(entities=(row(x=1), row(y=2)))
    bulk = RemoteExecutionContext(message_name="UpdateMultiple", input_parameters={"Targets": rows})
    assert brings(bulk, "x")
    assert changes(bulk, "y")
    assert not brings(bulk, "z")


def test_ids_and_choices_are_compared_without_letter_case_and_order() -> None:
    before = replace(row(x=(OptionSetValue(value=1), OptionSetValue(value=2))), id=ROW.upper())
    assert not changes(event(row(x=(OptionSetValue(value=2), OptionSetValue(value=1))), before), "x")


@pytest.mark.parametrize("target", [EntityReference(logical_name="account", id=ROW), "text", None])
def test_an_event_without_a_written_row_brings_nothing(target: Value) -> None:
    assert not brings(event(target), "x")
    assert not changes(event(target), "x")
