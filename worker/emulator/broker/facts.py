"""What can be asked about an entity."""

from dataclasses import dataclass
from enum import Enum


class EntityKind(Enum):
    QUEUE = "queue"
    TOPIC = "topic"
    SUBSCRIPTION = "subscription"
    DEAD_LETTER_QUEUE = "dead-letter queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityFacts:
    path: str
    """As the topology spells it, with `/Subscriptions/` and `/$DeadLetterQueue`."""
    kind: EntityKind
    requires_session: bool
    max_message_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCounts:
    ready: int = 0
    locked: int = 0
    """Delivered and not settled, deferred ones in a consumer's hands too."""
    deferred: int = 0
    scheduled: int = 0
    dead_lettered: int = 0
    """Messages in the entity's dead-letter queue, whatever their state."""
