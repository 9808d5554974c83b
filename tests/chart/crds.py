"""Closed JSON Schemas of custom resources, read from the source of pydantic models that were made from their CRDs.

The models themselves want a newer Python; nothing of them is run.
"""

import ast
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

Schema: TypeAlias = dict[str, Any]

_PLAIN: Final[dict[str, Schema]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "AwareDatetime": {"type": "string"},
    "ObjectMeta": {"type": "object"},
    "Any": {},
}
_LIMITS: Final = {"ge": "minimum", "le": "maximum", "pattern": "pattern"}


def schema_of(source: str, kind: str) -> Schema:
    """Of the resource `kind`, with all that it consists of in `$defs`."""
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    definitions: dict[str, Schema] = {}
    wanted = [kind]
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = _class(classes[name])
            wanted += _references(definitions[name])
    return {"$ref": f"#/$defs/{kind}", "$defs": definitions}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix("#/$defs/")
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _class(node: ast.ClassDef) -> Schema:
    (base,) = node.bases
    if isinstance(base, ast.Subscript):  # RootModel[…]
        return _type(base.slice)
    properties: dict[str, Schema] = {}
    required = []
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and "ClassVar" not in _text(field):
            name, schema = _field(field.target.id, field.annotation)
            properties[name] = schema
            if field.value is None:
                required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(field: ast.AnnAssign) -> str:
    return ast.unparse(field.annotation)


def _field(name: str, annotation: ast.expr) -> tuple[str, Schema]:
    if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated"):
        return name, _type(annotation)
    assert isinstance(annotation.slice, ast.Tuple)
    inner, call = annotation.slice.elts
    assert isinstance(call, ast.Call)
    schema = dict(_type(inner))
    for keyword in call.keywords:
        value = ast.literal_eval(keyword.value)
        if keyword.arg == "alias":
            name = value
        elif keyword.arg == "min_length":
            schema["minItems" if schema.get("type") == "array" else "minLength"] = value
        elif "(?i)" not in str(value):  # written as only Go reads it
            schema[_LIMITS[keyword.arg or ""]] = value
    return name, schema


def _type(node: ast.expr) -> Schema:
    """None is left out: a chart has no reason to write null."""
    if isinstance(node, ast.Name):
        return _PLAIN.get(node.id, {"$ref": f"#/$defs/{node.id}"})
    if isinstance(node, ast.BinOp):
        choices = [_type(side) for side in _sides(node) if not _is_none(side)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    assert isinstance(node, ast.Subscript), ast.unparse(node)
    name, inner = ast.unparse(node.value), node.slice
    if name == "list":
        return {"type": "array", "items": _type(inner)}
    if name == "Literal":
        values = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        return {"enum": [ast.literal_eval(value) for value in values]}
    assert name == "dict", ast.unparse(node)
    assert isinstance(inner, ast.Tuple)
    return {"type": "object", "additionalProperties": _type(inner.elts[1])}


def _sides(node: ast.expr) -> list[ast.expr]:
    return [*_sides(node.left), node.right] if isinstance(node, ast.BinOp) else [node]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
