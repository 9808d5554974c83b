"""What the broker refuses, by meaning; the server gives each its AMQP condition."""


class BrokerError(Exception):
    """A call the broker refused; its state is as if the call had not been made."""


class InvalidTopologyError(BrokerError):
    """The topology can't be built: doubled names, or properties outside of what Service Bus takes."""


class InvalidFilterError(BrokerError):
    """A rule's filter that this broker can't evaluate; said when the filter is made, never when a message comes."""


class EntityNotFoundError(BrokerError):
    """No queue, topic, subscription or sub-queue has this path."""


class OperationNotAllowedError(BrokerError):
    """The entity exists but doesn't do this: receive from a topic, send to a dead-letter queue, keep sessions, …"""


class MessageSizeExceededError(BrokerError):
    """A message is larger than its entity takes."""


class QuotaExceededError(BrokerError):
    """The entity is full."""


class MessageLockLostError(BrokerError):
    """The lock token locks nothing: its lock expired, or the message is settled."""


class MessageNotFoundError(BrokerError):
    """No scheduled or deferred message has this sequence number."""


class SessionCannotBeLockedError(BrokerError):
    """Another consumer holds the session."""


class SessionLockLostError(BrokerError):
    """The session isn't locked (any more), so nothing can be done under its lock."""
