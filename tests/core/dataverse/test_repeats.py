from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.dataverse.facts import EventFacts
from worker.core.dataverse.repeats import repeat_key

FACTS = EventFacts(
    message="Update",
    table="account",
    stage=40,
    organization_id="8a0f1f3e-1a0e-4a54-8a9b-0f6f6d0f7c01",
    operation_id="0b4f8c1a-52f0-4a0e-9f5e-5a4f6b2f7c02",
    step_id="5c1d7e2b-63a1-4b1f-8e6d-6b5a7c3f8d03",
    row_id="7e2c9f4d-85c3-4d3b-a08f-8d7c9e5b0f04",
)


def test_the_platforms_repeats_of_an_event_have_one_key_whatever_else_differs() -> None:
    repeat = replace(FACTS, depth=2, user="someone", organization="renamed", mode=1)
    assert repeat_key(repeat, b"other bytes") == repeat_key(FACTS, b"bytes")


@pytest.mark.parametrize("name", ["message", "table", "stage", "organization_id", "operation_id", "step_id", "row_id"])
def test_another_step_operation_or_row_has_another(name: str) -> None:
    other = replace(FACTS, **{name: 20 if name == "stage" else "other"})  # type: ignore[arg-type]  # by name
    assert repeat_key(other, b"") != repeat_key(FACTS, b"")


@given(st.binary(), st.binary())
def test_without_a_row_the_body_tells_events_apart(one: bytes, other: bytes) -> None:
    facts = replace(FACTS, row_id=None)
    assert (repeat_key(facts, one) == repeat_key(facts, other)) is (one == other)


def test_an_event_that_does_not_say_its_operation_has_none() -> None:
    assert repeat_key(replace(FACTS, operation_id=None), b"") is None


def test_the_key_is_the_one_that_the_readme_describes() -> None:
    lines = "\n".join(
        (
            str(FACTS.organization_id),
            str(FACTS.operation_id),
            str(FACTS.step_id),
            "40",
            "Update",
            "account",
            str(FACTS.row_id),
        )
    )
    import hashlib

    assert repeat_key(FACTS, b"") == hashlib.sha256(lines.encode()).hexdigest()


def test_letter_case_of_ids_makes_no_difference() -> None:
    assert repeat_key(replace(FACTS, row_id=str(FACTS.row_id).upper()), b"") == repeat_key(FACTS, b"")
