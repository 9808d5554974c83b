"""JSON Schema: what a flow's bodies are held against."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from jsonschema_rs import RegexOptions, ValidationError, Validator, validator_for

from worker.core.dataverse.document import BOM, document_text
from worker.core.dataverse.json_form import not_json

_SHOWN: Final = 200  # of a place or a fault; both may hold names that somebody else chose
_VALUE: Final = "the value"  # said instead of what it is


class SchemaBroken(ValueError):
    """What is wrong, and where in the schema."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Compiled. Two are equal when their documents are."""

    document: bytes = field(repr=False)
    _validator: Validator = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process compiles it anew."""
        return compile_schema, (self.document,)

    def fault(self, body: bytes) -> str | None:
        """The first place that breaks it, as a JSON pointer, and how; never the value that stands there."""
        text, start = document_text(body)
        try:
            self._validator.validate(orjson.loads(text))
        except orjson.JSONDecodeError as broken:
            return f"at the top: {not_json(text, start, broken):.{_SHOWN}}"
        except ValidationError as broken:
            return _told(broken)
        return None


def compile_schema(document: bytes) -> JsonSchema:
    """Raises SchemaBroken. Nothing is ever fetched: not from the network, nor from another file."""
    text = document.removeprefix(BOM)
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise SchemaBroken(not_json(text, 0, broken)) from None
    if not isinstance(schema, dict):
        raise SchemaBroken("expected a JSON object")
    try:
        validator = validator_for(
            schema, mask=_VALUE, validate_formats=True, retriever=_refuse, pattern_options=RegexOptions()
        )
    except ValidationError as broken:
        raise SchemaBroken(f"no JSON Schema {_told(broken)}") from None
    return JsonSchema(document, validator)


def _refuse(uri: str) -> Any:
    raise ValueError(f"only places in the same file can be referred to, not {uri}")


def _told(broken: ValidationError) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in broken.instance_path)
    pointer = "".join(f"/{step}" for step in steps)
    return f"at {pointer[:_SHOWN] or 'the top'}: {broken.message:.{_SHOWN}}"
