"""Whose fault it is decides the type; the condition says what is told to the peer."""

from __future__ import annotations

DECODE_ERROR = "amqp:decode-error"
ILLEGAL_STATE = "amqp:illegal-state"
INTERNAL_ERROR = "amqp:internal-error"
INVALID_FIELD = "amqp:invalid-field"
NOT_ALLOWED = "amqp:not-allowed"
NOT_FOUND = "amqp:not-found"
NOT_IMPLEMENTED = "amqp:not-implemented"
RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
UNAUTHORIZED = "amqp:unauthorized-access"
FRAMING_ERROR = "amqp:connection:framing-error"
HANDLE_IN_USE = "amqp:session:handle-in-use"
UNATTACHED_HANDLE = "amqp:session:unattached-handle"
WINDOW_VIOLATION = "amqp:session:window-violation"
DETACH_FORCED = "amqp:link:detach-forced"
MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
TRANSFER_LIMIT_EXCEEDED = "amqp:link:transfer-limit-exceeded"


class ProtocolError(Exception):
    """Never raised itself."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that AMQP does not allow in this state. A defect on this side."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. `condition` is the AMQP error condition that it was, or is to be, told."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description


class DecodeError(RemoteProtocolError):
    def __init__(self, description: str) -> None:
        super().__init__(DECODE_ERROR, description)
