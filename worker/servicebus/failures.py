"""The one door through which the SDK's errors leave, in the bridge's words."""

from typing import Final

from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)

from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.redaction import redact

_REACH: Final = "Check the broker's name, and that this host reaches its port (5671 for AMQP, 443 for web sockets)."
_LONGEST: Final = 300  # characters of the SDK's own text; the broker adds tracking ids that help its support


def explain(error: Exception, doing: str) -> BusFailure:
    """What `error` means to the bridge. The SDK lets errors of every kind escape, so anything unknown is passing."""
    if isinstance(error, BusFailure):
        return error
    if isinstance(error, MessagingEntityNotFoundError):
        return Misconfigured(
            f"{doing} failed: there is no such queue, topic or subscription. Create it, or correct its name."
        )
    if isinstance(error, MessagingEntityDisabledError):
        return Misconfigured(f"{doing} failed: it is disabled. Set its status to Active.")
    if isinstance(error, ServiceBusAuthorizationError):
        return Misconfigured(
            f"{doing} failed: not allowed. Grant the identity 'Azure Service Bus Data Receiver' where it receives and "
            "'Azure Service Bus Data Sender' where it sends (a key needs Listen and Send)."
        )
    if isinstance(error, ServiceBusAuthenticationError):
        return BusUnreachable(
            f"{doing} failed: the namespace refused the credential. Check the key, or the identity and its roles. "
            f"({_text(error)})"
        )
    if condition_of(error) == "amqp:not-allowed" and "session" in str(error).lower():
        return Misconfigured(
            f"{doing} failed: {_text(error)}. A request queue must not require sessions, and a reply "
            "queue must require sessions."
        )
    if isinstance(error, MessageSizeExceededError):
        return Misconfigured(f"{doing} failed: the message is larger than the queue takes. Send a shorter one.")
    if isinstance(error, TimeoutError):
        return BusUnreachable(f"{doing} failed: no answer in time. {_REACH}")
    if condition_of(error) == "amqp:socket-error":
        return BusUnreachable(f"{doing} failed: no connection to the broker ({_text(error)}). {_REACH}")
    return BusUnreachable(f"{doing} failed: {_text(error)}")


def is_refused_for_good(error: Exception) -> bool:
    """Whether sending the same thing again would be refused again, though the link is fine."""
    return condition_of(error) in {"amqp:not-allowed", "amqp:not-implemented", "amqp:invalid-field"}


def condition_of(error: BaseException | None) -> str | None:
    """The AMQP error condition, which the SDK keeps only on the error inside its own, or inside that one's cause."""
    while error is not None:
        condition = getattr(getattr(error, "inner_exception", None), "condition", None)
        if isinstance(condition, bytes):  # ErrorCondition is an enum of bytes
            return bytes(condition).decode("ascii", "replace")
        error = error.__cause__
    return None


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()).split(" Error condition: ")[0].rstrip(".") or type(error).__name__
    return redact(text.removeprefix("Failed to initiate the connection due to exception: "))[:_LONGEST]
