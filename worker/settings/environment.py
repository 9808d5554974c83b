"""`FLOWBRIDGE_` variables over the file's values: `__` goes down one table, a number picks one of a list.

pydantic-settings reads variables too, but stops at the first that isn't JSON, can't set one key of one list item, and
ignores a misspelt name.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from worker.settings.problems import Path, Problem, bare, did_you_mean, fields_of, is_table, key_of

PREFIX = "FLOWBRIDGE_"
OF_THE_COMMANDS = frozenset((f"{PREFIX}CONFIG", f"{PREFIX}LOG_LEVEL", f"{PREFIX}DEBUG"))
# One of each group is enough, and the one that the environment gives replaces the file's.
ALTERNATIVES = (
    ("namespace", "connection_string", "connection_string_file"),
    ("url", "url_file"),
    ("admin_token", "admin_token_file"),
    ("secret", "secret_file"),
)

# Kubernetes gives every pod such variables for every Service of its namespace, so also for one named flowbridge.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)")
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://\S*")
_LIKENESS = 0.85  # of two names that begin with the same prefix


class _NoSuchKey(LookupError):
    """The message says what to do instead."""


def overlay(
    tree: dict[str, Any], environ: Mapping[str, str], root: type[BaseModel]
) -> tuple[list[Problem], dict[str, str]]:
    """Put the variables into `tree`; returns what can't be, and the variable behind each key that was set."""
    problems: list[Problem] = []
    variables: dict[str, str] = {}
    for name in sorted((name for name in environ if _is_ours(name, environ[name])), key=_tables_first):
        try:
            path, kind = _place(name, root)
            value = _value(environ[name], kind)
            _put(tree, path, value)
        except _NoSuchKey as wrong:
            problems.append(Problem(key=name, what="there is no such setting", fix=str(wrong)))
        except ValueError as wrong:
            problems.append(Problem(key=name, what=str(wrong), fix="write it as JSON, or set its keys one by one"))
        else:
            variables[key_of(path)] = name
            _drop_alternatives(tree, path, value, variables)
    return problems, variables


def _is_ours(name: str, text: str) -> bool:
    if not name.upper().startswith(PREFIX) or name.upper() in OF_THE_COMMANDS:
        return False
    is_service_port = name.endswith("_PORT") and _SERVICE_PORT_VALUE.fullmatch(text) is not None
    return not is_service_port and _SERVICE_LINK.fullmatch(name) is None


def _segments(name: str) -> list[str]:
    return name[len(PREFIX) :].lower().split("__")


def _tables_first(name: str) -> tuple[int, list[tuple[int, str]]]:
    """Whole tables and lists before their members; items by their number."""
    segments = _segments(name)
    return len(segments), [(-1 if (number := _number(part)) is None else number, part) for part in segments]


def _number(segment: str) -> int | None:
    return int(segment) if segment.isascii() and segment.isdecimal() and len(segment) < 7 else None


def _place(name: str, root: type[BaseModel]) -> tuple[Path, Any]:
    path: list[str | int] = []
    kind: Any = root
    segments = _segments(name)
    for depth, segment in enumerate(segments):
        if is_table(kind):
            if (field := fields_of(kind).get(segment)) is None:
                raise _NoSuchKey(_suggestion(name, segments[:depth], kind, root))
            path.append(segment)
            kind = bare(field.annotation)
        elif get_origin(kind) is tuple and (number := _number(segment)) is not None:
            path.append(number)
            kind = bare(get_args(kind)[0])
        elif get_origin(kind) is dict:
            path.append(segment)
            kind = bare(get_args(kind)[1])
        else:
            raise _NoSuchKey(f"{key_of(tuple(path))} " + _inside(kind))
    return tuple(path), kind


def _suggestion(name: str, parents: list[str], kind: type[BaseModel], root: type[BaseModel]) -> str:
    """The nearest name, beside it or anywhere (`HTTP_PORT` for `HTTP__PORT`); else all names beside it."""
    beside = [f"{PREFIX}{'__'.join([*parents, key])}".upper() for key in fields_of(kind)]
    anywhere = [f"{PREFIX}{'__'.join(path)}".upper() for path in _paths(root)]
    nearest = did_you_mean(name, beside + anywhere, likeness=_LIKENESS)
    return nearest if nearest.endswith("?") else did_you_mean("", beside)


def _paths(table: type[BaseModel], above: tuple[type[BaseModel], ...] = ()) -> Iterator[tuple[str, ...]]:
    """A table inside itself is not gone into."""
    if table in above:
        return
    above = (*above, table)
    for key, field in fields_of(table).items():
        kind = bare(field.annotation)
        items = bare(get_args(kind)[0]) if get_origin(kind) is tuple else None
        if is_table(kind):
            yield from ((key, *path) for path in _paths(kind, above))
        elif is_table(items):
            yield from ((key, "0", *path) for path in _paths(items, above))
        yield (key,)


def _inside(kind: Any) -> str:
    return "is a list: its items are numbered from 0" if get_origin(kind) is tuple else "has no keys of its own"


def _value(text: str, kind: Any) -> Any:
    """A scalar that doesn't fit stays text, for the model to refuse; ValueError for what should be JSON and isn't."""
    if get_origin(kind) is tuple:
        item = bare(get_args(kind)[0])
        if not is_table(item) and not text.lstrip().startswith("["):
            return [_value(part.strip(), item) for part in text.split(",") if part.strip()]
        return _json(text, list, "a list")
    if get_origin(kind) is dict or is_table(kind):
        return _json(text, dict, "a table")
    if kind in (int, float, bool):
        try:
            return TypeAdapter(kind).validate_python(text)
        except ValidationError:
            return text
    return text


def _json(text: str, expected: type, name: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise ValueError(f"expected {name} as JSON, got something else: {broken.msg} at {broken.pos}") from None
    if isinstance(value, expected):
        return value
    raise ValueError(f"expected {name} as JSON, got another kind of value")


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    holder: Any = tree
    for index, part in enumerate(path):
        is_last = index == len(path) - 1
        empty: Any = [] if not is_last and isinstance(path[index + 1], int) else {}
        if isinstance(part, int):
            if part > len(holder):
                raise ValueError(f"expected item {len(holder)} next, got item {part}: number them from 0 without gaps")
            if part == len(holder):
                holder.append(empty)
        present = holder[part] if isinstance(part, int) else holder.get(part)
        if is_last:
            holder[part] = value
        elif type(present) is not type(empty):
            holder[part] = empty
        holder = holder[part]


def _drop_alternatives(tree: dict[str, Any], path: Path, value: Any, variables: dict[str, str]) -> None:
    group = next((group for group in ALTERNATIVES if path[-1] in group), ())
    if value == "" or not group:
        return
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]
    for other in group:
        if other != path[-1] and key_of((*path[:-1], other)) not in variables:
            holder.pop(other, None)
