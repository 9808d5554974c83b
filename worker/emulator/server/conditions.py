"""The broker's refusals in Service Bus's words: an error condition for links, a status for management answers."""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.emulator import broker
from worker.emulator.amqp import errors
from worker.emulator.amqp.performatives import Error

TIMEOUT: Final = "com.microsoft:timeout"
SERVER_BUSY: Final = "com.microsoft:server-busy"
MESSAGE_LOCK_LOST: Final = "com.microsoft:message-lock-lost"
SESSION_LOCK_LOST: Final = "com.microsoft:session-lock-lost"
ARGUMENT_ERROR: Final = "com.microsoft:argument-error"
NO_CONTENT: Final = 204
UNAUTHORIZED: Final = 401


class Meaning(NamedTuple):
    condition: str
    status: int


_MEANINGS: Final[dict[type[broker.BrokerError], Meaning]] = {
    broker.EntityNotFoundError: Meaning(errors.NOT_FOUND, 404),
    broker.OperationNotAllowedError: Meaning(errors.NOT_ALLOWED, 400),
    broker.MessageSizeExceededError: Meaning(errors.MESSAGE_SIZE_EXCEEDED, 400),
    broker.QuotaExceededError: Meaning(errors.RESOURCE_LIMIT_EXCEEDED, 403),
    broker.MessageLockLostError: Meaning(MESSAGE_LOCK_LOST, 410),
    broker.MessageNotFoundError: Meaning("com.microsoft:message-not-found", 404),
    broker.SessionCannotBeLockedError: Meaning("com.microsoft:session-cannot-be-locked", 409),
    broker.SessionLockLostError: Meaning(SESSION_LOCK_LOST, 410),
    broker.InvalidFilterError: Meaning(ARGUMENT_ERROR, 400),
}


def meaning_of(error: broker.BrokerError) -> Meaning:
    return _MEANINGS.get(type(error), Meaning(errors.INTERNAL_ERROR, 500))


def as_amqp_error(error: broker.BrokerError) -> Error:
    description = str(error)
    if isinstance(error, broker.EntityNotFoundError):
        description = f"The messaging entity asked for could not be found: {description}"  # the JavaScript SDK reads it
    return Error(meaning_of(error).condition, description)
