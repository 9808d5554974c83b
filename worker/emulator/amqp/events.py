"""What came in, told one at a time. A session is named by its channel on this side, `Connection.session(channel)`."""

from __future__ import annotations

from typing import NamedTuple

from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import DeliveryState, Error, Open
from worker.emulator.amqp.types import distinct


@distinct
class SaslRequested(NamedTuple):
    """The peer chose a mechanism: answer with `Connection.answer_sasl`."""

    mechanism: str
    response: bytes


@distinct
class SaslFinished(NamedTuple):
    """The peer let us in, or not."""

    is_accepted: bool


@distinct
class ConnectionOpened(NamedTuple):
    peer: Open


@distinct
class SessionBegun(NamedTuple):
    channel: int


@distinct
class LinkAttached(NamedTuple):
    """What the peer wants or agreed to is `link.peer`."""

    link: Link


@distinct
class CreditChanged(NamedTuple):
    """On a link we send on: look at `credit` and `is_draining`."""

    link: Link


@distinct
class WindowOpened(NamedTuple):
    """The session can take transfers again."""

    channel: int


@distinct
class DeliveryReceived(NamedTuple):
    link: Link
    delivery_id: int
    tag: bytes
    message_format: int
    is_settled: bool
    payload: bytes


@distinct
class DeliveryTooLarge(NamedTuple):
    """Of a delivery above the link's limit only this is left; it waits for an outcome unless settled."""

    link: Link
    delivery_id: int
    is_settled: bool
    size_bytes: int


@distinct
class DispositionReceived(NamedTuple):
    """The peer's word on one delivery, ours or its own."""

    link: Link
    delivery_id: int
    tag: bytes
    state: DeliveryState | None
    is_settled: bool


@distinct
class LinkDetached(NamedTuple):
    """By the peer, or by this end for a fault of the peer's."""

    link: Link
    error: Error | None
    unsent: tuple[bytes, ...]
    """Tags of deliveries that had not wholly gone out."""


@distinct
class DetachAnswered(NamedTuple):
    """The peer has heard that this end detached the link: nothing of it is left."""

    link: Link


@distinct
class SessionEnded(NamedTuple):
    channel: int
    error: Error | None
    detached: tuple[LinkDetached, ...]
    """Its links, which ended with it."""


@distinct
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
    | DetachAnswered
    | SessionEnded
    | ConnectionClosed
)
