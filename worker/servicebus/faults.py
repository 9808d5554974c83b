"""What kind of thing is in the way, as far as the SDK's errors tell."""

import socket
import ssl
import traceback
from enum import StrEnum
from typing import Final

from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusQuotaExceededError,
)

from worker.servicebus.causes import causes
from worker.servicebus.reaching import is_credential_refused, unreachable


class ReceiverGone(Exception):
    """The SDK has shut a receiver down without a word."""


class Fault(StrEnum):
    UNREADABLE = "unreadable"
    FIREWALL = "firewall"
    MISSING = "missing"
    DISABLED = "disabled"
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - no password
    NOT_ALLOWED = "not-allowed"
    KEYS_DISABLED = "keys-disabled"
    CREDENTIAL_REFUSED = "credential-refused"
    SESSIONS = "sessions"
    TOO_LARGE = "too-large"
    FULL = "full"
    TIMED_OUT = "timed-out"
    UNTRUSTED = "untrusted"
    NAME_UNKNOWN = "name-unknown"
    CONNECTION_REFUSED = "connection-refused"
    UNREACHABLE = "unreachable"
    NO_AMQP = "no-amqp"
    OTHER = "other"


_OF_KINDS: Final[tuple[tuple[type[Exception], Fault], ...]] = (
    (MessagingEntityNotFoundError, Fault.MISSING),
    (MessagingEntityDisabledError, Fault.DISABLED),
    (ServiceBusAuthorizationError, Fault.NOT_ALLOWED),
    (ServiceBusAuthenticationError, Fault.CREDENTIAL_REFUSED),
    (MessageSizeExceededError, Fault.TOO_LARGE),
    (ServiceBusQuotaExceededError, Fault.FULL),
    (OperationTimeoutError, Fault.TIMED_OUT),
    (TimeoutError, Fault.TIMED_OUT),
)


_OF_OTHER_PROTOCOLS: Final = ("received invalid frame type", "mismatching amqp header", "reciprocal protocol header")


def fault_of(error: Exception) -> Fault:
    """The SDK lets errors of every kind escape, and keeps some of what the broker said only in their texts."""
    if isinstance(error, ReceiverGone) or _is_about_a_payload(error):
        return Fault.UNREADABLE
    told = " ".join(str(each) for each in causes(error)).lower()
    if "prevented to connect" in told:  # the namespace's own firewall, which lets TCP through
        return Fault.FIREWALL
    kind = next((fault for kind, fault in _OF_KINDS if isinstance(error, kind)), None)
    if kind is Fault.NOT_ALLOWED and "expired" in told:
        return Fault.TOKEN_EXPIRED
    if kind is Fault.CREDENTIAL_REFUSED or (kind is None and is_credential_refused(error)):
        return _of_refused_token(told)
    if kind is not None:
        return kind
    if condition_of(error) == "amqp:not-allowed" and "session" in told:
        return Fault.SESSIONS
    if any(words in told for words in _OF_OTHER_PROTOCOLS):
        return Fault.NO_AMQP
    return _of_connection(error)


def condition_of(error: BaseException | None) -> str | None:
    """The AMQP error condition, which the SDK keeps only on the error inside its own, or inside that one's cause."""
    while error is not None:
        condition = getattr(getattr(error, "inner_exception", None), "condition", None)
        if isinstance(condition, bytes):  # ErrorCondition is an enum of bytes
            return bytes(condition).decode("ascii", "replace")
        error = error.__cause__
    return None


def _of_refused_token(told: str) -> Fault:
    """Azure says already to the token that an entity isn't there; the SDK doesn't always pass that on."""
    if "status code: 404" in told:
        return Fault.MISSING
    return Fault.KEYS_DISABLED if "localauthdisabled" in told else Fault.CREDENTIAL_REFUSED


def _of_connection(error: Exception) -> Fault:
    if unreachable(error) is None and condition_of(error) != "amqp:socket-error":
        return Fault.OTHER
    behind = list(causes(error))
    for kind, fault in (
        (ssl.SSLCertVerificationError, Fault.UNTRUSTED),
        (socket.gaierror, Fault.NAME_UNKNOWN),
        (ConnectionRefusedError, Fault.CONNECTION_REFUSED),
    ):
        if any(isinstance(each, kind) for each in behind):
            return fault
    return Fault.UNREACHABLE


def _is_about_a_payload(error: Exception) -> bool:
    """Whether the SDK failed in decoding, whatever with: neither the exception's kind nor its text would tell."""
    inner = getattr(error, "inner_exception", None) or error
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(inner.__traceback__)]
    return bool(modules) and str(modules[-1]).endswith("._decode")
