"""What a link is to the server: its end hears the events of its own link, and only those that can come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from worker.emulator.amqp.events import DeliveryReceived, DeliveryTooLarge, DispositionReceived
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.session import Session


class Wire(Protocol):
    """The connection's way out, as far as an end needs it."""

    @property
    def is_congested(self) -> bool:
        """More is waiting to be sent than should."""

    def flush_soon(self) -> None: ...
    def cut(self, *, resets: bool) -> None: ...


class LinkEnd(ABC):
    """A link on its session. `entity`: whose it is, for facts and faults; empty for the claims node."""

    def __init__(self, session: Session, link: Link, *, entity: str) -> None:
        self.session = session
        self.link = link
        self.entity = entity

    @abstractmethod
    def open(self) -> None:
        """Answer the attach, now or later. Raises BrokerError where the link is to be refused."""

    def stop(self) -> None:  # noqa: B027 - most ends have nothing to stop
        """No more deliveries: the link is about to be gone."""

    def on_gone(self, unsent: tuple[bytes, ...]) -> None:  # noqa: B027 - most ends leave nothing behind
        """The link is detached, or its connection lost, with these delivery tags not sent."""


class SendingEnd(LinkEnd):
    """The server sends on it."""

    @abstractmethod
    def on_credit(self) -> None: ...

    def on_disposition(self, disposition: DispositionReceived) -> None:
        """Of a delivery that was sent unsettled."""


class ReceivingEnd(LinkEnd):
    """The server receives on it, and keeps its peer in credit."""

    CREDIT = 1000

    def accept(self, *, max_message_bytes: int | None = None) -> None:
        peer = self.link.peer
        if peer is None:
            raise TypeError("a link is accepted after its peer has attached it")
        self.session.accept(self.link, source=peer.source, target=peer.target, max_message_bytes=max_message_bytes)
        self.session.grant_credit(self.link, self.CREDIT)

    def replenish(self) -> None:
        if self.link.lifecycle.is_open and self.link.credit < self.CREDIT // 2:
            self.session.grant_credit(self.link, self.CREDIT)

    @abstractmethod
    def on_delivery(self, delivery: DeliveryReceived) -> None: ...

    @abstractmethod
    def on_oversize(self, delivery: DeliveryTooLarge) -> None: ...
