"""The one door through which the SDK's errors leave, in the bridge's words."""

import traceback
from typing import Final

from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)

from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.redaction import redact
from worker.servicebus.reaching import REACH, is_credential_refused, unreachable

_LONGEST: Final = 300  # characters of the SDK's own text; the broker adds tracking ids that help its support


class ReceiverGone(Exception):
    """The SDK has shut a receiver down without a word."""


class Unreadable(BusUnreachable):
    """A message came that the SDK can't decode, and its receiver is gone; another one is all that it takes."""

    def __init__(self, doing: str) -> None:
        super().__init__(
            f"{doing} failed: the SDK gave its receiver up, as it does when a message comes that it can't decode, such "
            "as AMQP values nested more than 64 deep. The worker goes on with a new receiver. The message is locked "
            "until its lock ends, then comes again, and ends as a dead letter (MaxDeliveryCountExceeded): look there "
            "which sender it is from, and let that one send its data as bytes or as text."
        )


def explain(error: Exception, doing: str) -> BusFailure:
    """What `error` means to the bridge. The SDK lets errors of every kind escape, so anything unknown is passing."""
    if isinstance(error, BusFailure):
        return error
    if isinstance(error, ReceiverGone) or _is_about_a_payload(error):
        return Unreadable(doing)
    if isinstance(error, MessagingEntityNotFoundError):
        return Misconfigured(
            f"{doing} failed: there is no such queue, topic or subscription. Create it, or correct its name."
        )
    if isinstance(error, MessagingEntityDisabledError):
        return Misconfigured(f"{doing} failed: it is disabled. Set its status to Active.")
    if isinstance(error, ServiceBusAuthorizationError) and "expired" in str(error).lower():
        return BusUnreachable(f"{doing} failed: its token has expired ({_text(error)}). A fresh one is asked for.")
    if isinstance(error, ServiceBusAuthorizationError):
        return Misconfigured(
            f"{doing} failed: not allowed. Grant the identity 'Azure Service Bus Data Receiver' where it receives and "
            "'Azure Service Bus Data Sender' where it sends (a key needs Listen and Send)."
        )
    if isinstance(error, ServiceBusAuthenticationError) or is_credential_refused(error):
        return BusUnreachable(
            f"{doing} failed: the namespace refused the credential. Check the key, or the identity and its roles. "
            f"({_text(error)})"
        )
    if condition_of(error) == "amqp:not-allowed" and "session" in str(error).lower():
        return Misconfigured(
            f"{doing} failed: {_text(error)}. A request queue must not require sessions, unless request_sessions = "
            "true, and a reply queue must require sessions."
        )
    if isinstance(error, MessageSizeExceededError):
        return Misconfigured(f"{doing} failed: the message is larger than the queue takes. Send a shorter one.")
    if isinstance(error, TimeoutError | OperationTimeoutError):
        return BusUnreachable(f"{doing} failed: no answer in time. {REACH}")
    if (why := unreachable(error)) is not None:
        return BusUnreachable(f"{doing} failed: {why}")
    if condition_of(error) == "amqp:socket-error":
        return BusUnreachable(f"{doing} failed: no connection to the broker ({_text(error)}). {REACH}")
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


def _is_about_a_payload(error: Exception) -> bool:
    """Whether the SDK failed in decoding, whatever with: neither the exception's kind nor its text would tell."""
    inner = getattr(error, "inner_exception", None) or error
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(inner.__traceback__)]
    return bool(modules) and str(modules[-1]).endswith("._decode")


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()).split(" Error condition: ")[0].rstrip(".") or type(error).__name__
    return redact(text)[:_LONGEST]
