"""W3C trace context of the work on one request: where it belongs, and which of its parts is which."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TRACE_PARENT: Final = "traceparent"
TRACE_STATE: Final = "tracestate"
_FORM: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What a request's sender said."""

    trace_id: str
    span_id: str
    is_sampled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """Ids in hexadecimal. `span_id` is of the work as a whole; `parent` is None where the trace begins with it."""

    trace_id: str
    span_id: str
    parent: Parent | None
    state: str | None
    is_sampled: bool

    def part(self, name: str) -> str:
        """The span id of a part of the work, the same whenever it is asked for."""
        return hashlib.sha256(f"{self.trace_id}{self.span_id}{name}".encode()).hexdigest()[:16]

    def headers(self, part: str) -> dict[str, str]:
        """What tells another party that it works for this part."""
        flags = "01" if self.is_sampled else "00"
        headers = {TRACE_PARENT: f"00-{self.trace_id}-{self.part(part)}-{flags}"}
        return headers if self.state is None else {**headers, TRACE_STATE: self.state}


REPLY_PART: Final = "reply"


def attempt_part(number: int, began_at: float) -> str:
    """The name of the part that is an attempt at the flow, one of its call's.

    Two of a call may have begun at the same moment: the loop's clock may tell no more than milliseconds.
    """
    return f"attempt {number} at {began_at!r}"


def parent_of(trace: Mapping[str, str]) -> Parent | None:
    """None where no trace parent was said, or one that nobody may go on with."""
    form = _FORM.fullmatch(trace.get(TRACE_PARENT, ""))
    if form is None or form["version"] == "ff" or (form["version"] == "00" and form["more"] is not None):
        return None
    if not (form["trace"].strip("0") and form["span"].strip("0")):
        return None
    return Parent(trace_id=form["trace"], span_id=form["span"], is_sampled=bool(int(form["flags"], 16) & 1))
