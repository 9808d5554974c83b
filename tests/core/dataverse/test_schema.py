"""The schema to paste into a trigger, against the forms that it describes."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from support.contexts import contexts

from worker.core.dataverse.context import RemoteExecutionContext
from worker.core.dataverse.plain import plain_context, write_plain
from worker.core.dataverse.sample import Sample, sample
from worker.core.dataverse.schema import context_schema
from worker.core.json_schema import compile_schema

from .write_schema import FILE, text

# What the designer of a Request trigger understands.
TAKEN_BY_TRIGGERS = {"type", "properties", "required", "additionalProperties", "items", "format"}
SCHEMA = compile_schema(FILE.read_bytes())


def test_the_file_is_the_generated_schema() -> None:
    assert FILE.read_text() == text(), "run python tests/core/dataverse/write_schema.py"


@given(contexts())
@settings(deadline=None)
def test_every_context_has_a_plain_form_that_the_schema_allows(context: RemoteExecutionContext) -> None:
    assert SCHEMA.fault(write_plain(plain_context(context))) is None


@pytest.mark.parametrize("which", list(Sample))
def test_every_sample_has_a_plain_form_that_the_schema_allows(which: Sample) -> None:
    event = sample(which, at=datetime(2026, 3, 1, tzinfo=UTC), new_id=uuid4)
    assert SCHEMA.fault(write_plain(plain_context(event))) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"messageName": None}, "at /messageName"),
        ({"stage": "40"}, "at /stage"),
        ({"operationCreatedOn": "yesterday"}, "at /operationCreatedOn"),
        ({"preEntityImages": {"Image": {"id": None}}}, "at /preEntityImages/Image"),
        ({"inputParameters": []}, "at /inputParameters"),
    ],
)
def test_another_form_breaks_it(change: dict[str, Any], where: str) -> None:
    plain = plain_context(sample(Sample.UPDATE, at=datetime(2026, 3, 1, tzinfo=UTC), new_id=uuid4))
    assert (SCHEMA.fault(json.dumps({**plain, **change}, default=str).encode()) or "").startswith(where)


def test_it_uses_nothing_that_a_trigger_refuses() -> None:
    def keywords(schema: dict[str, Any]) -> set[str]:
        inner = [*schema.get("properties", {}).values()]
        inner += [schema[name] for name in ("items", "additionalProperties") if name in schema]
        return set(schema).union(*map(keywords, inner))

    assert keywords(context_schema()) <= TAKEN_BY_TRIGGERS
