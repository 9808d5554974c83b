"""Which messages a subscription's rule lets in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.emulator.broker.message import NO_PROPERTIES, Message, PropertyValue


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueFilter:
    def matches(self, message: Message) -> bool:
        raise NotImplementedError


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
    application_properties: Mapping[str, PropertyValue] = field(default=NO_PROPERTIES)

    def matches(self, message: Message) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SqlFilter:
    """`property = 'value' [AND …]`, `sys.` properties, `!=`, `<>`, `IS [NOT] NULL`, numbers, booleans, `1=1`.

    Raises InvalidFilterError for anything else of Service Bus's SQL.
    """

    expression: str

    def matches(self, message: Message) -> bool:
        raise NotImplementedError


Filter = TrueFilter | CorrelationFilter | SqlFilter
