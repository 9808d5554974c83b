"""The one door through which the SDK's errors leave, in the bridge's words."""

from typing import Final, assert_never

from worker.core.failures import BusFailure, BusUnreachable, Misconfigured
from worker.core.redaction import redact
from worker.servicebus.faults import Fault, ReceiverGone, condition_of, fault_of
from worker.servicebus.reaching import REACH, unreachable

__all__ = ["ReceiverGone", "Unreadable", "condition_of", "explain", "is_refused_for_good"]

_LONGEST: Final = 300  # characters of the SDK's own text; the broker adds tracking ids that help its support


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
    fault = fault_of(error)
    match fault:
        case Fault.UNREADABLE:
            return Unreadable(doing)
        case Fault.MISSING:
            return Misconfigured(
                f"{doing} failed: there is no such queue, topic or subscription. Create it, or correct its name."
            )
        case Fault.DISABLED:
            return Misconfigured(f"{doing} failed: it is disabled. Set its status to Active.")
        case Fault.TOKEN_EXPIRED:
            return BusUnreachable(f"{doing} failed: its token has expired ({_text(error)}). A fresh one is asked for.")
        case Fault.NOT_ALLOWED:
            return Misconfigured(
                f"{doing} failed: not allowed. Grant the identity 'Azure Service Bus Data Receiver' where it receives "
                "and 'Azure Service Bus Data Sender' where it sends (a key needs Listen and Send)."
            )
        case Fault.FIREWALL:
            return BusUnreachable(
                f"{doing} failed: the namespace's firewall doesn't let this host in ({_text(error)}). Add its address, "
                "or its network, to the namespace's network rules."
            )
        case Fault.KEYS_DISABLED:
            return BusUnreachable(
                f"{doing} failed: the namespace takes no keys, because its local authentication is switched off. Set "
                "servicebus.namespace instead of the connection string, and grant the identity its roles."
            )
        case Fault.CREDENTIAL_REFUSED:
            return BusUnreachable(
                f"{doing} failed: the namespace refused the credential. Check the key, or the identity and its roles. "
                f"({_text(error)})"
            )
        case Fault.SESSIONS:
            return Misconfigured(
                f"{doing} failed: {_text(error)}. A request queue must not require sessions, unless request_sessions = "
                "true, and a reply queue must require sessions."
            )
        case Fault.TOO_LARGE:
            return Misconfigured(f"{doing} failed: the message is larger than the queue takes. Send a shorter one.")
        case Fault.FULL:
            return BusUnreachable(
                f"{doing} failed: a quota is reached ({_text(error)}). Where the queue is full, let it be worked off, "
                "empty its dead letters, or raise its size."
            )
        case Fault.TIMED_OUT:
            return BusUnreachable(f"{doing} failed: no answer in time. {REACH}")
        case Fault.UNTRUSTED | Fault.NAME_UNKNOWN | Fault.CONNECTION_REFUSED | Fault.UNREACHABLE:
            why = unreachable(error) or f"no connection to the broker ({_text(error)}). {REACH}"
            return BusUnreachable(f"{doing} failed: {why}")
        case Fault.NO_AMQP:
            return BusUnreachable(
                f"{doing} failed: what listens there speaks no AMQP, as a web server or another program doesn't "
                f"({_text(error)}). Check the broker's host and port (5671 for AMQP; 443 only for web sockets, "
                'transport = "websockets").'
            )
        case Fault.OTHER:
            return BusUnreachable(f"{doing} failed: {_text(error)}")
    assert_never(fault)


def is_refused_for_good(error: Exception) -> bool:
    """Whether sending the same thing again would be refused again, though the link is fine."""
    return condition_of(error) in {"amqp:not-allowed", "amqp:not-implemented", "amqp:invalid-field"}


def _text(error: Exception) -> str:
    text = " ".join(str(error).split()).split(" Error condition: ")[0].rstrip(".") or type(error).__name__
    return redact(text)[:_LONGEST]
