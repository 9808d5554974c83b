"""The entities a broker is built with, in the words of Service Bus's administration API."""

from dataclasses import dataclass
from typing import Final

from worker.emulator.broker.errors import InvalidTopologyError
from worker.emulator.broker.filters import Filter, TrueFilter

ALL_MESSAGES: Final = TrueFilter()
STANDARD_MESSAGE_BYTES: Final = 256 * 1024
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

    def __post_init__(self) -> None:
        _check_receivable(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleProperties:
    name: str = "$Default"
    filter: Filter = ALL_MESSAGES


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

    def __post_init__(self) -> None:
        _check_receivable(self)


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


def _check_receivable(properties: QueueProperties | SubscriptionProperties) -> None:
    """Raises InvalidTopologyError for what would make the broker go round in circles."""
    if properties.lock_s <= 0:
        raise InvalidTopologyError(f"{properties.name}: lock_s is {properties.lock_s}, a lock lasts longer than 0 s")
    if properties.max_delivery_count < 1:
        raise InvalidTopologyError(
            f"{properties.name}: max_delivery_count is {properties.max_delivery_count}, at least 1 is needed"
        )
