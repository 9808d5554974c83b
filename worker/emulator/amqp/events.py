"""What came in, told one at a time. A session is named by its channel on this side, `Connection.session(channel)`."""

from __future__ import annotations

from typing import NamedTuple

from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import DeliveryState, Error, Open


class SaslRequested(NamedTuple):
    """The peer chose a mechanism: answer with `Connection.answer_sasl`."""

    mechanism: str
    response: bytes


class SaslFinished(NamedTuple):
    """The peer let us in, or not."""

    is_accepted: bool


class ConnectionOpened(NamedTuple):
    peer: Open


class SessionBegun(NamedTuple):
    channel: int


class LinkAttached(NamedTuple):
    """What the peer wants or agreed to is `link.peer`."""

    link: Link


class CreditChanged(NamedTuple):
    """On a link we send on: look at `credit` and `is_draining`."""

    link: Link


class WindowOpened(NamedTuple):
    """The session can take transfers again."""

    channel: int


class DeliveryReceived(NamedTuple):
    link: Link
    delivery_id: int
    tag: bytes
    message_format: int
    is_settled: bool
    payload: bytes


class DeliveryTooLarge(NamedTuple):
    """Of a delivery above the link's limit only this is left; it waits for an outcome unless settled."""

    link: Link
    delivery_id: int
    is_settled: bool
    size_bytes: int


class DispositionReceived(NamedTuple):
    """The peer's word on one delivery, ours or its own."""

    link: Link
    delivery_id: int
    tag: bytes
    state: DeliveryState | None
    is_settled: bool


class LinkDetached(NamedTuple):
    """The link is gone in both directions, also where this end found the peer at fault."""

    link: Link
    error: Error | None
    unsent: tuple[bytes, ...]
    """Tags of deliveries that had not wholly gone out."""


class SessionEnded(NamedTuple):
    channel: int
    error: Error | None
    detached: tuple[LinkDetached, ...]
    """Its links, which ended with it."""


class ConnectionClosed(NamedTuple):
    error: Error | None


Event = (
    SaslRequested
    | SaslFinished
    | ConnectionOpened
    | SessionBegun
    | LinkAttached
    | CreditChanged
    | WindowOpened
    | DeliveryReceived
    | DeliveryTooLarge
    | DispositionReceived
    | LinkDetached
    | SessionEnded
    | ConnectionClosed
)
