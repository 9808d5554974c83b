import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.json_schema import JsonSchema, SchemaBroken, compile_schema

ORDER = {
    "type": "object",
    "properties": {
        "id": {},
        "lines": {"type": "array", "items": {"properties": {"count": {"type": "integer"}}}},
    },
    "required": ["id"],
    "additionalProperties": False,
}


def schema_of(document: Any) -> JsonSchema:
    return compile_schema(json.dumps(document).encode())


def test_a_body_that_fits_has_no_fault() -> None:
    assert schema_of(ORDER).fault(b'{"id": 1, "lines": [{"count": 2}]}') is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"id": 1, "lines": [{}, {"count": "two"}]}', 'at /lines/1/count: the value is not of type "integer"'),
        (b"{}", 'at the top: "id" is a required property'),
        (b'{"id": 1, "x": 2}', "at the top: Additional properties are not allowed ('x' was unexpected)"),
        (b"hello", "at the top: not JSON at byte 0"),
        (b"", "at the top: not JSON at byte 0"),
        (b'{"id": "\xff"}', "at the top: expected UTF-8, found byte 0xff at byte 8"),
    ],
)
def test_a_fault_says_where_and_what(body: bytes, told: str) -> None:
    assert (schema_of(ORDER).fault(body) or "").startswith(told)


def test_a_name_with_a_slash_is_escaped_in_the_pointer() -> None:
    schema = schema_of({"additionalProperties": {"type": "string"}})
    assert (schema.fault(b'{"a/b~c": 1}') or "").startswith("at /a~1b~0c: ")


def test_a_fault_repeats_no_value_and_stays_short() -> None:
    secret = "s3cret" * 10_000
    kinds = [{"type": "integer"}, {"enum": [1]}, {"maxLength": 3}, {"pattern": "^x"}, {"not": {}}, {"format": "uri"}]
    for kind in kinds:
        told = schema_of({"properties": {"a": kind}}).fault(json.dumps({"a": secret}).encode())
        assert told is not None
        assert "s3cret" not in told
    told = schema_of({"additionalProperties": False}).fault(json.dumps({secret: {secret: 1}}).encode())
    assert told is not None
    assert len(told) < 500


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"{", "not JSON at byte 1"),
        (b"[]", "expected a JSON object"),
        (b'"{}"', "expected a JSON object"),
        (b'{"type": "nope"}', "no JSON Schema at /type"),
        (b'{"properties": {"a": {"pattern": "("}}}', "no JSON Schema at /properties/a/pattern"),
        (b'{"$schema": "https://example.com/own"}', "Unknown meta-schema"),
        (b'{"$ref": "#/definitions/none"}', "does not exist"),
    ],
)
def test_what_is_no_schema_is_refused(document: bytes, told: str) -> None:
    with pytest.raises(SchemaBroken) as caught:
        compile_schema(document)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "reference", ["https://example.com/schema.json", "other.json", "file:///etc/hostname", "urn:a:b", "//host/x"]
)
@pytest.mark.parametrize("draft", ["http://json-schema.org/draft-04/schema#", None])
def test_nothing_outside_the_document_is_ever_fetched(reference: str, draft: str | None) -> None:
    document = {"properties": {"a": {"$ref": reference}}} | ({"$schema": draft} if draft else {})
    with pytest.raises(SchemaBroken, match="retrieving it failed"):
        schema_of(document)


def test_places_in_the_same_document_can_be_referred_to() -> None:
    schema = schema_of({"definitions": {"id": {"type": "integer"}}, "properties": {"a": {"$ref": "#/definitions/id"}}})
    assert (schema.fault(b'{"a": "x"}') or "").startswith("at /a: ")


def test_a_byte_order_mark_before_a_schema_is_read_over() -> None:
    assert compile_schema(b"\xef\xbb\xbf{}").fault(b"1") is None


def test_two_of_the_same_document_are_equal() -> None:
    assert schema_of(ORDER) == schema_of(ORDER)
    assert schema_of(ORDER) != schema_of({})


@given(st.binary(max_size=60) | st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth))
@settings(deadline=None)
def test_no_body_makes_a_check_fall_over(body: bytes) -> None:
    fault = schema_of({"items": {"$ref": "#"}, "type": "array"}).fault(body)
    assert fault is None or fault.startswith("at ")
