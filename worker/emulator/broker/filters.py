"""Which messages a subscription's rule lets in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, assert_never

from worker.emulator.broker.message import Message, PropertyValue

SYSTEM_PROPERTIES: Final[Mapping[str, str]] = {
    "correlationid": "correlation_id",
    "messageid": "message_id",
    "sessionid": "session_id",
    "label": "subject",
    "subject": "subject",
    "to": "to",
    "replyto": "reply_to",
    "replytosessionid": "reply_to_session_id",
    "contenttype": "content_type",
}
"""A `sys.` property's name, folded, and where `Message` keeps it. Service Bus still calls the subject Label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueFilter:
    """Every message."""

    def matches(self, message: Message) -> bool:  # noqa: ARG002 - one signature for all filters
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationFilter:
    """Every property given here equals the message's."""

    correlation_id: str | None = None
    message_id: str | None = None
    session_id: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    content_type: str | None = None
    application_properties: Mapping[str, PropertyValue] = field(default_factory=dict)

    def matches(self, message: Message) -> bool:
        for name in set(SYSTEM_PROPERTIES.values()):
            expected = getattr(self, name)
            if expected is not None and getattr(message, name) != expected:
                return False
        return all(
            _same(message.application_properties.get(name), value)
            for name, value in self.application_properties.items()
        )


class Operator(Enum):
    EQUAL = "="
    NOT_EQUAL = "<>"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """`system`: one of `SYSTEM_PROPERTIES`' values; otherwise an application property."""

    name: str
    system: bool

    def of(self, message: Message) -> PropertyValue:
        if not self.system:
            return message.application_properties.get(self.name)
        value: PropertyValue = getattr(message, self.name)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    value: str | int | float | bool

    def of(self, _message: Message) -> PropertyValue:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    left: Property | Literal
    operator: Operator
    right: Property | Literal | None = None
    """None where the operator takes one side only."""

    def matches(self, message: Message) -> bool:
        """A null on either side makes = and <> unknown, and unknown lets nothing in (as SQL's own logic)."""
        left = self.left.of(message)
        right = self.right.of(message) if self.right else None
        match self.operator:
            case Operator.IS_NULL:
                return left is None
            case Operator.IS_NOT_NULL:
                return left is not None
            case Operator.EQUAL:
                return left is not None and right is not None and _same(left, right)
            case Operator.NOT_EQUAL:
                return left is not None and right is not None and not _same(left, right)
        assert_never(self.operator)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFilter:
    """A conjunction; `sql.parse_sql` makes it from text."""

    comparisons: tuple[Comparison, ...]

    def matches(self, message: Message) -> bool:
        return all(comparison.matches(message) for comparison in self.comparisons)


Filter = TrueFilter | CorrelationFilter | SqlFilter


def _same(left: PropertyValue, right: PropertyValue) -> bool:
    """Equal and of one kind: True is not 1, though Python says so; 1 is 1.0."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right
