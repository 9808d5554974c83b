"""Every event that the product's source can log: its name, levels and fields, read from the source itself."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

import worker

ROOT = Path(worker.__file__).parent
LEVELS = {name: name for name in ("debug", "info", "warning", "error", "critical")} | {"exception": "error"}


_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Event:
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@cache
def events() -> dict[str, Event]:
    """Raises AssertionError for a name or fields that can't be read off the source."""
    said: defaultdict[str, Event] = defaultdict(Event)
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "_log" not in source:
            continue
        module = ast.parse(source)
        for function in [each for each in ast.walk(module) if isinstance(each, _Function)]:
            for call in [each for each in ast.walk(function) if isinstance(each, ast.Call)]:
                levels = _levels(call.func, function)
                for name in _names(call, function, module, path) if levels else ():
                    said[name].levels |= levels
                    said[name].fields |= set(_fields(call, module, path))
    return dict(said)


def told(events: dict[str, Event]) -> str:
    """A line each."""
    return "".join(
        f"{name}  {','.join(sorted(event.levels))}  {' '.join(sorted(event.fields))}".rstrip() + "\n"
        for name, event in sorted(events.items())
    )


def _levels(called: ast.expr, function: ast.AST) -> set[str]:
    match called:
        case ast.Attribute(value=ast.Name("_log"), attr=method):
            return {LEVELS[method]}
        case ast.IfExp(body=one, orelse=other):
            return _levels(one, function) | _levels(other, function)
        case ast.Name(name):
            bound = [
                each.value
                for each in ast.walk(function)
                if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name
            ]
            return {level for value in bound if not isinstance(value, ast.Name) for level in _levels(value, function)}
        case _:
            return set()


def _names(call: ast.Call, function: _Function, module: ast.Module, path: Path) -> set[str]:
    names = set().union(*(_literals(argument, function, module) for argument in call.args))
    if not names:
        raise AssertionError(f"{path}:{call.lineno}: an event's name is a literal, and its facts are fields")
    return names


def _literals(said: ast.expr, function: _Function, module: ast.Module) -> set[str]:
    """Of a parameter: what the module's calls of the function have in its place."""
    match said:
        case ast.Constant(str(name)):
            return {name}
        case ast.IfExp(body=one, orelse=other):
            return _literals(one, function, module) | _literals(other, function, module)
        case ast.Name(parameter):
            index = [each.arg for each in function.args.args].index(parameter)
            return {
                given.value
                for each in ast.walk(module)
                if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == function.name
                for given in each.args[index : index + 1]
                if isinstance(given, ast.Constant) and isinstance(given.value, str)
            }
        case _:
            return set()


def _fields(call: ast.Call, module: ast.Module, path: Path) -> Iterator[str]:
    """Those of `**story(...)` are the keys of the dict that the module's function `story` makes."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg=str(name)):
                yield name
            case ast.keyword(arg=None, value=ast.Call(func=ast.Name(maker))):
                yield from _keys(maker, module)
            case _:
                raise AssertionError(f"{path}:{call.lineno}: which fields these are can't be seen")


def _keys(maker: str, module: ast.Module) -> Iterator[str]:
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef) and function.name == maker:
            for made in ast.walk(function):
                if isinstance(made, ast.Dict):
                    yield from (
                        key.value for key in made.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
                    )
