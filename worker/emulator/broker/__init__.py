"""Service Bus semantics, pure: queues, topics, subscriptions, sessions, locks, dead letters.

Calls go in, effects come out as data. Nothing here knows a socket, a clock, a task or AMQP: `now` is an argument
(seconds since the epoch; time never runs back: an older `now` counts as the newest one seen) and a message's payload
is opaque bytes.
What may live here: rules of the broker. What may not: wire formats, I/O, waiting, and anything else of `worker`.
"""

from worker.emulator.broker.broker import Broker
from worker.emulator.broker.consumer import ConsumerId, NamedSession, NextSession, ReceiveMode, SessionChoice
from worker.emulator.broker.effects import Delivered, Effect, SessionAccepted, SessionAcceptTimedOut, SessionLost
from worker.emulator.broker.errors import (
    BrokerError,
    EntityNotFoundError,
    InvalidFilterError,
    InvalidTopologyError,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    OperationNotAllowedError,
    QuotaExceededError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)
from worker.emulator.broker.facts import EntityFacts, EntityKind, MessageCounts
from worker.emulator.broker.filters import CorrelationFilter, Filter, SqlFilter, TrueFilter
from worker.emulator.broker.message import BrokeredMessage, Message, MessageState, PropertyValue
from worker.emulator.broker.settlement import Abandon, Complete, DeadLetter, Defer, Release, Settlement
from worker.emulator.broker.sql import parse_sql
from worker.emulator.broker.topology import (
    QueueProperties,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
)

__all__ = [
    "Abandon",
    "Broker",
    "BrokerError",
    "BrokeredMessage",
    "Complete",
    "ConsumerId",
    "CorrelationFilter",
    "DeadLetter",
    "Defer",
    "Delivered",
    "Effect",
    "EntityFacts",
    "EntityKind",
    "EntityNotFoundError",
    "Filter",
    "InvalidFilterError",
    "InvalidTopologyError",
    "Message",
    "MessageCounts",
    "MessageLockLostError",
    "MessageNotFoundError",
    "MessageSizeExceededError",
    "MessageState",
    "NamedSession",
    "NextSession",
    "OperationNotAllowedError",
    "PropertyValue",
    "QueueProperties",
    "QuotaExceededError",
    "ReceiveMode",
    "Release",
    "RuleProperties",
    "SessionAcceptTimedOut",
    "SessionAccepted",
    "SessionCannotBeLockedError",
    "SessionChoice",
    "SessionLockLostError",
    "SessionLost",
    "Settlement",
    "SqlFilter",
    "SubscriptionProperties",
    "TopicProperties",
    "Topology",
    "TrueFilter",
    "parse_sql",
]
