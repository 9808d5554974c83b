"""The one tree behind XML and .NET binary XML: elements, their `i:type` and `i:nil`, and their text.

Names are read without prefix or namespace: DataContract's are unique without them. What is written carries the prefixes
of the namespaces that its root declares.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from worker.core.dataverse.dates import write_iso

MAX_DEPTH = 192  # elements inside each other
MAX_ELEMENTS = 100_000  # in one document: ten times what fits into the largest one that Dataverse sends

_DIGITS = 400  # beyond them a power of ten is shorter, and no double and no decimal of .NET has any

# As read: text of XML is str; binary XML has the others as well, but its GUIDs are str in lower case.
Text: TypeAlias = str | bool | int | float | Decimal | datetime | bytes | UUID


@dataclass(slots=True, eq=True)
class Element:
    """`text` is None where there is none; beside `children` it is white space, and dropped."""

    name: str
    type: str | None = None
    is_nil: bool = False
    text: Text | None = None
    children: Sequence["Element"] = ()


def lexical(text: Text) -> str:
    """As XML Schema writes it."""
    match text:
        case str():
            return text
        case bool():
            return "true" if text else "false"
        case float():
            return _lexical_float(text)
        case Decimal():
            return f"{text:f}" if abs(text.adjusted()) < _DIGITS else str(text)
        case datetime():
            return write_iso(text)
        case bytes():
            return base64.b64encode(text).decode()
        case _:
            return str(text)


def _lexical_float(number: float) -> str:
    named = {"inf": "INF", "-inf": "-INF", "nan": "NaN"}
    text = repr(number).removesuffix(".0")
    return named.get(text, text)
