"""The entities a broker is built with, in the words of Service Bus's administration API."""

from dataclasses import dataclass

from worker.emulator.broker.filters import Filter, TrueFilter

STANDARD_MESSAGE_BYTES = 256 * 1024
"""The Standard tier's largest message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProperties:
    name: str
    lock_s: float = 60.0
    max_delivery_count: int = 10
    default_ttl_s: float | None = None
    """Also the upper bound of a message's own time to live."""
    dead_letters_on_expiry: bool = False
    requires_session: bool = False
    duplicate_window_s: float | None = None
    """None: duplicates are not looked for."""
    max_message_bytes: int = STANDARD_MESSAGE_BYTES
    max_size_bytes: int | None = None
    """Payload bytes the queue and its dead-letter queue hold together; None: no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleProperties:
    name: str = "$Default"
    filter: Filter = TrueFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionProperties:
    """A message enters when any of the rules matches; no rules, no messages."""

    name: str
    rules: tuple[RuleProperties, ...] = (RuleProperties(),)
    lock_s: float = 60.0
    max_delivery_count: int = 10
    default_ttl_s: float | None = None
    dead_letters_on_expiry: bool = False
    requires_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicProperties:
    name: str
    subscriptions: tuple[SubscriptionProperties, ...] = ()
    default_ttl_s: float | None = None
    duplicate_window_s: float | None = None
    max_message_bytes: int = STANDARD_MESSAGE_BYTES
    max_size_bytes: int | None = None
    """Payload bytes all subscriptions hold together; None: no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    queues: tuple[QueueProperties, ...] = ()
    topics: tuple[TopicProperties, ...] = ()
