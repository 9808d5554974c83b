"""What is wrong with settings, said to a person: the key, what was expected and came, how to fix it."""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeAlias, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from worker.core.redaction import redact

Path: TypeAlias = tuple[str | int, ...]  # ("flows", 0, "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`key` as an operator writes it: `flows[0].url`, or the name of a file or variable."""

    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        end = "" if self.fix.endswith("?") else "."
        return redact(f"{self.key}: {self.what}. {self.fix[:1].upper()}{self.fix[1:]}{end}")


class SettingsInvalid(Exception):
    """Everything that is wrong, at once; `problems` is never empty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def key_of(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def problems_of(invalid: ValidationError, root: type[BaseModel], variables: dict[str, str]) -> list[Problem]:
    """`variables`: the environment variable that a key came from, where one did."""
    found = []
    for error in invalid.errors(include_url=False):
        path = error["loc"]
        what, fix = _unknown(path, root) if error["type"] == "extra_forbidden" else _wrong(error, root)
        source = variables.get(key_of(path))
        found.append(Problem(key=key_of(path), what=what + (f" (from {source})" if source else ""), fix=fix))
    return found


def did_you_mean(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    names = {known_name.lower(): known_name for known_name in sorted(known)}
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=likeness)
    return f"did you mean {names[near[0]]}?" if near else f"known here: {', '.join(names.values())}"


def bare(annotation: Any) -> Any:
    """The type itself, without Annotated and `| None`."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        present = [choice for choice in get_args(annotation) if choice is not type(None)]
        return bare(present[0]) if len(present) == 1 else annotation
    return annotation


def is_table(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fields_of(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """By the keys that an operator writes."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def table_at(root: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The table that stands at a path."""
    found: Any = root
    for part in path:
        if is_table(found):
            field = fields_of(found).get(str(part))
            found = bare(field.annotation) if field else None
        elif get_origin(found) is tuple:
            found = bare(get_args(found)[0])
        else:
            return None
    return found if is_table(found) else None


def _field_at(root: type[BaseModel], path: Path) -> tuple[str, FieldInfo] | None:
    """The nearest key on the way to a path: what is wrong with an item is said of its list."""
    for end in range(len(path), 0, -1):
        key, table = str(path[end - 1]), table_at(root, path[: end - 1])
        if table is not None and key in fields_of(table):
            return key, fields_of(table)[key]
    return None


def _unknown(path: Path, root: type[BaseModel]) -> tuple[str, str]:
    table = table_at(root, path[:-1])
    return "there is no such key", did_you_mean(str(path[-1]), fields_of(table) if table else ())


_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "literal_error": "one of {expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "string_too_short": "a text that isn't empty",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a text without control characters",
}


def _wrong(error: ErrorDetails, root: type[BaseModel]) -> tuple[str, str]:
    context, found = error.get("ctx", {}), _field_at(root, error["loc"])
    fix = f"write for example {_example(*found)}" if found else "see the README's settings"
    if error["type"] == "value_error":
        return str(context["error"]), fix
    if (expected := _EXPECTED.get(error["type"])) is None:
        return redact(error["msg"]), fix
    is_secret = found is not None and bare(found[1].annotation) is SecretStr
    return f"expected {expected.format(**context)}, got {_shown(error['input'], is_secret=is_secret)}", fix


def _shown(value: Any, *, is_secret: bool) -> str:
    if isinstance(value, str):
        return "a string" if is_secret else redact(repr(value))[:80]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"  # Python writes out no more than some thousand digits
    if isinstance(value, int | float):
        return "a number" if is_secret else str(value)
    names = {dict: "a table", list: "a list", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def _example(key: str, field: FieldInfo) -> str:
    if field.examples:
        return f"{key} = {_inline(field.examples[0])}"
    if isinstance(field.default, BaseModel):
        return f"[{key}]"
    if is_table(next(iter(get_args(bare(field.annotation))), None)):
        return f"[[{key}]]"
    return f"{key} = {json.dumps(field.default)}"


def _inline(value: Any) -> str:
    """As TOML."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_inline(member)}' for name, member in value.items())} }}"
    return f"[{', '.join(map(_inline, value))}]" if isinstance(value, list) else json.dumps(value)
