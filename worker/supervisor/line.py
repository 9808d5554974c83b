"""What goes over the line between supervisor and child, once the child was briefed."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Self

import orjson


class Kind(Enum):
    """Of what a child tells."""

    STATUS = b"status"
    RECENT = b"recent"
    METRICS = b"metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What the supervisor says of a flow's circuit."""

    flow: str
    is_isolated: bool

    def to_line(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        return cls(**orjson.loads(line))


def line_of(kind: Kind, document: Any) -> bytes:
    return kind.value + b" " + orjson.dumps(document) + b"\n"


def kind_of(line: bytes) -> tuple[Kind, bytes]:
    """And the document, as JSON."""
    kind, _, document = line.partition(b" ")
    return Kind(kind), document
