"""DataContract JSON to members and back.

Numbers keep every digit (Decimal), because a Money may hold more of them than a float.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import orjson

from worker.core.dataverse.dates import write_date
from worker.core.dataverse.document import ContextBroken

T = TypeVar("T")

_MOST_BITS: Final = 63


def read_json(text: bytes, start: int) -> Any:
    """Raises ContextBroken; `start` is the offset of the text in its body."""
    try:
        return json.loads(text, parse_float=_decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise ContextBroken("nested too deeply") from None
    except ValueError as broken:
        raise ContextBroken(not_json(text, start, broken)) from None


def not_json(text: bytes, start: int, broken: ValueError) -> str:
    """Why it isn't, and at which byte of its body."""
    try:
        text.decode()
    except UnicodeDecodeError as not_utf8:
        return f"expected UTF-8, found byte 0x{text[not_utf8.start]:02x} at byte {start + not_utf8.start}"
    if not isinstance(broken, json.JSONDecodeError):
        return "a number has more digits than anybody counts with" if "digits" in str(broken) else f"not JSON: {broken}"
    offset = start + len(broken.doc[: broken.pos].encode())  # parsers count characters
    return f"not JSON at byte {offset}: {broken.msg}"


def write_json(members: Mapping[str, Any]) -> bytes:
    """Raises ContextBroken for a text that UTF-8 can't carry. Slashes are escaped, as DataContract escapes them."""
    # A slash only ever stands in a string.
    return dump(members, default=_written).replace(b"/", b"\\/")


def dump(members: Any, default: Any = None) -> bytes:
    """Raises ContextBroken for a text that UTF-8 can't carry, and for what is nested beyond 254 levels."""
    try:
        return orjson.dumps(members, default=default, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except orjson.JSONEncodeError as broken:
        is_text = "surrogate" in str(broken)
        raise ContextBroken("a text in it holds one half of a surrogate pair" if is_text else str(broken)) from None


def exact(value: T) -> T | Decimal:
    """The same; a Decimal where it is an integer of more than 64 bits, which the JSON writer doesn't take."""
    return Decimal(value) if isinstance(value, int) and value.bit_length() > _MOST_BITS else value


def number(value: Any) -> orjson.Fragment:
    """With all its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError


def _written(value: Any) -> Any:
    return write_date(value) if isinstance(value, datetime) else number(value)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text:.40} is beyond every decimal number") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
