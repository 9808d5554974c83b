"""JSON-e templates: checked when the worker starts, rendered for each request. No code runs in them."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsone
from jsone.AST import BinOp, ContextValue, FunctionCall, List, Object, UnaryOp, ValueAccess
from jsone.builtins import build
from jsone.parser import Parser
from jsone.render import tokenizer

from worker.core.dataverse.json_form import exact

_LONGEST_RANGE: Final = 10_000
_FUNCTIONS: Final = frozenset(build())
_SHOWN: Final = 300  # of an error, which may quote a value
_OPENING: Final = re.compile(r"\$?\$\{")  # `$${` stands for `${` itself
# What json-e says of a table before it looks at the values in it.
_OF_ITS_NAMES: Final = ("undefined properties", "only one operator", "reserved")


class TemplateFails(ValueError):
    """The text begins with the place in the template, if that is known: `.lines[0].total: …`."""

    @property
    def is_missing(self) -> bool:
        """Whether it names what the values don't have."""
        return any(words in str(self) for words in ("has no property", "unknown context value"))


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """Ready to be dumped with `number` as default. Raises TemplateFails, and nothing else."""
    try:
        return _writable(jsone.render(template, {"range": _range, **values}))
    except jsone.JSONTemplateError as failed:
        raise TemplateFails(f"{''.join(failed.location)}: {failed.args[0]!s:.{_SHOWN}}") from None
    except Exception as failed:  # noqa: BLE001 - json-e lets through whatever Python says of an odd operand
        raise TemplateFails(f": {str(failed) or type(failed).__name__:.{_SHOWN}}") from None


def faults(template: Any) -> list[tuple[str, str]]:
    """What is wrong with it whatever the values are: the place, as `.lines[0].total`, and what is wrong there."""
    try:
        return list(_faults(template, ""))
    except RecursionError:
        return [("", "nested too deeply")]


def _faults(node: Any, where: str) -> Iterator[tuple[str, str]]:
    match node:
        case str():
            if (fault := _text_fault(node)) is not None:
                yield where, fault
        case dict():
            yield from _table_faults(node, where)
        case list():
            for index, item in enumerate(node):
                yield from _faults(item, f"{where}[{index}]")
        case float() if not math.isfinite(node):
            yield where, f"{node} is no JSON number"
        case None | bool() | int() | float():
            pass
        case _:
            yield where, f"JSON has no {type(node).__name__}; write it in quotes"


def _table_faults(table: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    if "$find" in table:  # it would render what it finds: a sender of events could write templates
        yield where, "$find is not to be had; write $map with $if in it"
        return
    if (fault := _names_fault(table)) is not None:
        yield where, fault
    for name, value in table.items():
        place = f"{where}.{name}"
        if name in ("$match", "$switch") and isinstance(value, dict):
            for condition, then in value.items():
                if (fault := _expression_fault(condition)) is not None and (name, condition) != ("$switch", "$default"):
                    yield f"{place}.{condition}", fault
                yield from _faults(then, f"{place}.{condition}")
        elif _holds_expression(table, name):
            fault = _expression_fault(value) if isinstance(value, str) else "expected an expression in quotes"
            if fault is not None:
                yield place, fault
        else:
            if (fault := _text_fault(name)) is not None:
                yield place, fault
            yield from _faults(value, place)


def _holds_expression(table: dict[str, Any], name: str) -> bool:
    return name in ("$eval", "$if") or ("$sort" in table and name.startswith("by("))


def _names_fault(table: dict[str, Any]) -> str | None:
    """json-e's own judgement, on the table without its values."""
    try:
        jsone.render(dict.fromkeys(table), {})
    except jsone.JSONTemplateError as failed:
        said = str(failed.args[0])
        return said if any(words in said for words in _OF_ITS_NAMES) else None
    except Exception:  # noqa: BLE001 - about the missing values
        return None
    return None


def _text_fault(text: str) -> str | None:
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        at = opening.end()
        if opening.group() == "${":
            fault, length = _parsed(text[at:], ends_with="}")
            if fault is not None:
                return f"{text[opening.start() :]:.60}: {fault}"
            at += length
    return None


def _expression_fault(text: str) -> str | None:
    fault, _ = _parsed(text, ends_with=None)
    return None if fault is None else f"{text:.60}: {fault}"


def _parsed(source: str, *, ends_with: str | None) -> tuple[str | None, int]:
    """What is wrong with the expression at the beginning, and where what follows it begins."""
    try:
        parser = Parser(source, tokenizer)
        tree, after = parser.parse(), parser.current_token
    except jsone.TemplateError as failed:
        return str(failed.args[0]), 0
    except (AttributeError, StopIteration):  # its parser asks for the kind of a token that isn't there
        return "the expression ends too early", 0
    if (None if after is None else after.kind) != ends_with:
        return f"expected {ends_with or 'no more'}, found {after.value if after else 'the end'}", 0
    if isinstance(tree, ContextValue) and tree.token.value in _FUNCTIONS:
        return f"{tree.token.value} is a function, and isn't called", 0
    return _tree_fault(tree), after.end if after else len(source)


def _tree_fault(node: Any) -> str | None:
    if node is None:  # json-e's parser leaves it where it found no operand
        return "a value is missing in the expression"
    fault = next(filter(None, map(_tree_fault, _operands(node))), None)
    if fault is None and isinstance(node, BinOp) and node.token.kind == "**" and node.left.token.kind != "number":
        # The exponent, though called left. An event could make it one to count with for hours.
        return "expected a number behind **, found something else"
    return fault


def _operands(node: Any) -> list[Any]:
    match node:
        case BinOp():
            return [node.left, node.right]
        case UnaryOp():
            return [node.expr]
        case FunctionCall():
            return [node.name, *node.args]
        case ValueAccess():
            return [node.arr, *(end for end in (node.left, node.right) if end is not None)]
        case List():
            return [] if node.list == [None] else node.list
        case Object():
            return list(node.obj.values())
        case _:
            return []


def _range(start: Any, stop: Any, step: Any = 1) -> list[int]:
    """In place of json-e's own, to which an event's value could say a billion."""
    if {type(start), type(stop), type(step)} != {int} or step == 0:
        raise jsone.TemplateError("range: expected two or three integers")
    numbers = range(start, stop, step)
    if len(numbers) > _LONGEST_RANGE:
        raise jsone.TemplateError(f"range: more than {_LONGEST_RANGE:,} numbers")
    return list(numbers)


def _writable(value: Any) -> Any:
    match value:
        case dict():
            return {name: _writable(member) for name, member in value.items()}
        case list():
            return [_writable(item) for item in value]
        case float() if not math.isfinite(value):
            raise jsone.TemplateError(f"it comes to {value}, which is no JSON number")
        case int() if not isinstance(value, bool):
            return exact(value)
        case _:
            return value
