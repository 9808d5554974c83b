"""What the broker did to its consumers; the server carries each out on the wire."""

from dataclasses import dataclass

from worker.emulator.broker.consumer import ConsumerId
from worker.emulator.broker.message import BrokeredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One message for one consumer; it used one of the consumer's credits."""

    consumer: ConsumerId
    message: BrokeredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAccepted:
    """The consumer holds the session from now on."""

    consumer: ConsumerId
    session_id: str
    locked_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAcceptTimedOut:
    """No session came free in the time the consumer would wait; the consumer is closed."""

    consumer: ConsumerId


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """The session's lock expired, its messages are back in the session; the consumer is closed."""

    consumer: ConsumerId
    session_id: str


Effect = Delivered | SessionAccepted | SessionAcceptTimedOut | SessionLost
