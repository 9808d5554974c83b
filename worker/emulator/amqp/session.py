"""One session: the links on it, and which frames may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from worker.emulator.amqp import errors
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.events import (
    CreditChanged,
    DetachAnswered,
    DispositionReceived,
    Event,
    LinkAttached,
    LinkDetached,
    SessionEnded,
    WindowOpened,
)
from worker.emulator.amqp.handles import Handles
from worker.emulator.amqp.lifecycle import Act, Half, Lifecycle
from worker.emulator.amqp.link import SERIAL_MASK, Link
from worker.emulator.amqp.outbox import Outbox
from worker.emulator.amqp.performative_codec import encode_state
from worker.emulator.amqp.performatives import (
    MIXED,
    RECEIVER,
    SENDER,
    Attach,
    Begin,
    Coordinator,
    DeliveryState,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Map,
    Performative,
    Source,
    Target,
    Transfer,
)
from worker.emulator.amqp.transfers import Incoming, Outgoing, encode_disposition, named_deliveries

INCOMING_WINDOW: Final = 5000
"""Transfers the peer may send before it hears of more room; it hears at half."""
OUTGOING_WINDOW: Final = 0x7FFFFFFF
"""This end bounds what it sends by the peer's window alone."""


class Session:
    """Methods that act raise LocalProtocolError where AMQP or the peer's credit does not allow it."""

    def __init__(self, channel: int, outbox: Outbox, *, handle_max: int) -> None:
        self.channel = channel
        self._peer_channel: int | None = None
        self.lifecycle = Lifecycle("session")
        self._outbox = outbox
        self._handles = Handles(channel, handle_max)
        self._incoming = Incoming(INCOMING_WINDOW)
        self._outgoing = Outgoing(channel, outbox)

    # acting

    def begin(self) -> None:
        """From this end, or as the answer to the peer's begin."""
        self.lifecycle.local_acts(Act.OPENS)
        incoming, outgoing = self._incoming, self._outgoing
        begin = Begin(self._peer_channel, outgoing.next_id, incoming.window, OUTGOING_WINDOW, self._handles.handle_max)
        self._outbox.put(self.channel, begin)

    def end(self, error: Error | None = None) -> None:
        self.lifecycle.local_acts(Act.CLOSES)
        self._outbox.put(self.channel, End(error))

    def attach(
        self,
        name: str,
        *,
        role: bool,
        source: Source | None,
        target: Target | Coordinator | None,
        properties: Map | None = None,
        snd_settle_mode: int = MIXED,
        max_message_bytes: int | None = None,
    ) -> Link:
        """A link that this end wants; LinkAttached comes when the peer has answered."""
        self._must_be_begun()
        link = self._handles.ask_for(name, role=role)
        link.max_message_bytes = max_message_bytes
        self._send_attach(link, source, target, properties, snd_settle_mode)
        return link

    def accept(
        self,
        link: Link,
        *,
        source: Source | None,
        target: Target | Coordinator | None,
        properties: Map | None = None,
        max_message_bytes: int | None = None,
    ) -> None:
        """Answer a link that the peer wants."""
        link.max_message_bytes = max_message_bytes
        self._send_attach(link, source, target, properties)

    def refuse(self, link: Link, error: Error) -> None:
        """As the specification wants it: attach without a terminus, then detach at once and say why."""
        self._send_attach(link, None, None)
        self.detach(link, error)

    def detach(self, link: Link, error: Error | None = None, *, closed: bool = True) -> tuple[bytes, ...]:
        """Answers with the tags of deliveries that had not wholly gone out."""
        link.lifecycle.local_acts(Act.CLOSES)
        unsent = self._outgoing.recall(link)
        self._outbox.put(self.channel, Detach(link.handle, closed, error))
        self._forget_if_gone(link)
        return unsent

    def grant_credit(self, link: Link, credit: int, *, drain: bool = False) -> None:
        """How many deliveries the peer may send on this link from now on."""
        if link.is_sender or not link.lifecycle.is_open:
            raise LocalProtocolError("credit is given on an open link by its receiver")
        link.credit = credit
        self._send_flow(link, drain=drain)

    def end_drain(self, link: Link) -> None:
        """Say that nothing more is there: the credit left is spent at once."""
        if link.is_receiver or not link.lifecycle.is_open:
            raise LocalProtocolError("a drain is answered on an open link by its sender")
        link.delivery_count = (link.delivery_count + link.credit) & SERIAL_MASK
        link.credit = 0
        self._send_flow(link, drain=True)
        link.is_draining = False

    def send(self, link: Link, payload: bytes, *, tag: bytes, is_settled: bool = False, message_format: int = 0) -> int:
        """One delivery; answers with its id. What the peer's session window has no room for goes as it opens."""
        if link.role is RECEIVER or not link.lifecycle.is_open:
            raise LocalProtocolError("deliveries are sent on an open link by its sender")
        if link.credit < 1:
            raise LocalProtocolError(f"link {link.name!r} has no credit")
        return self._outgoing.send(link, payload, tag, is_settled=is_settled, message_format=message_format)

    @property
    def has_room(self) -> bool:
        """False: what is sent now waits for the peer's session window."""
        return self._outgoing.has_room

    def dispose(self, link: Link, delivery_id: int, state: DeliveryState | None, *, is_settled: bool = True) -> None:
        """What this end says of a delivery, sent or received. One that is settled already is left alone."""
        deliveries = self._outgoing.unsettled if link.is_sender else self._incoming.unsettled
        if delivery_id not in deliveries:
            return
        if is_settled:
            del deliveries[delivery_id]
        encoded = encode_disposition(
            self.channel, link.role, delivery_id, is_settled=is_settled, state=encode_state(state)
        )
        self._outbox.put_bytes(encoded)

    # hearing

    def hear(self, performative: Performative, payload: bytes) -> Iterator[Event]:
        """Raises RemoteProtocolError where the peer broke the session's rules, and the session has to end."""
        if self.lifecycle.local is Half.CLOSED:
            return  # what was under way when this end closed is of no interest
        match performative:
            case Transfer():
                yield from self._hear_transfer(performative, payload)
            case Disposition():
                yield from self._hear_disposition(performative)
            case Flow():
                yield from self._hear_flow(performative)
            case Attach():
                yield from self._hear_attach(performative)
            case Detach():
                yield from self._hear_detach(performative)
            case _:
                raise LocalProtocolError(f"{type(performative).__name__} is not for a session to hear")

    def hear_begin(self, begin: Begin, peer_channel: int) -> None:
        self.lifecycle.remote_acts(Act.OPENS)
        self._peer_channel = peer_channel
        self._incoming.next_id = begin.next_outgoing_id
        self._handles.peer_handle_max = begin.handle_max
        self._outgoing.open_window(begin.incoming_window)

    def hear_end(self, end: End) -> SessionEnded | None:
        """None when this end had ended it already. An end is always answered."""
        self.lifecycle.remote_acts(Act.CLOSES)
        if self.lifecycle.local is Half.CLOSED:
            return None
        if self.lifecycle.local is Half.NEW:
            self.begin()
        detached = self.give_up_links(end.error)
        self.end()
        return SessionEnded(self.channel, end.error, detached)

    def fail(self, error: Error) -> SessionEnded:
        """End the session for a fault of the peer's."""
        if self.lifecycle.local is Half.NEW:
            self.begin()
        detached = self.give_up_links(error)
        self.end(error)
        return SessionEnded(self.channel, error, detached)

    def give_up_links(self, error: Error | None) -> tuple[LinkDetached, ...]:
        """Without a word to the peer: the session or the connection goes."""
        return tuple(LinkDetached(link, error, self._outgoing.recall(link)) for link in self._handles.clear())

    def _hear_transfer(self, transfer: Transfer, payload: bytes) -> Iterator[Event]:
        if self._incoming.count_transfer():
            self._send_flow()
        link = self._handles.of_peer(transfer.handle)
        if not link.lifecycle.is_open:
            return
        if link.is_sender:
            yield self._detach_for(link, errors.NOT_ALLOWED, "a transfer came from the link's receiver")
            return
        try:
            event = self._incoming.take(link, transfer, payload)
        except RemoteProtocolError as error:
            yield self._detach_for(link, error.condition, error.description)
            return
        if event is not None:
            yield event

    def _hear_disposition(self, disposition: Disposition) -> Iterator[Event]:
        deliveries = self._outgoing.unsettled if disposition.role is RECEIVER else self._incoming.unsettled
        last = disposition.first if disposition.last is None else disposition.last
        for delivery_id, link, tag in named_deliveries(deliveries, disposition.first, last):
            if disposition.settled:
                del deliveries[delivery_id]
            yield DispositionReceived(link, delivery_id, tag, disposition.state, disposition.settled)

    def _hear_flow(self, flow: Flow) -> Iterator[Event]:
        had_room = self.has_room
        self._outgoing.take_flow(flow)
        self._incoming.next_id = flow.next_outgoing_id
        link = None
        if flow.handle is not None:
            link = self._handles.of_peer(flow.handle)
            if link.lifecycle.local is not Half.CLOSED:
                link.take_flow(flow)
        if flow.echo:
            self._send_flow(link if link is not None and link.lifecycle.is_open else None)
        if self.has_room and not had_room:
            yield WindowOpened(self.channel)
        if link is not None and link.is_sender and link.lifecycle.is_open:
            yield CreditChanged(link)

    def _hear_attach(self, attach: Attach) -> Iterator[Event]:
        link = self._handles.admit(attach)
        link.lifecycle.remote_acts(Act.OPENS)
        link.peer = attach
        if link.is_receiver:
            link.delivery_count = attach.initial_delivery_count or 0
        if link.lifecycle.local is not Half.CLOSED:
            yield LinkAttached(link)

    def _hear_detach(self, detach: Detach) -> Iterator[Event]:
        link = self._handles.of_peer(detach.handle)
        link.lifecycle.remote_acts(Act.CLOSES)
        if link.lifecycle.local is Half.CLOSED:
            self._forget_if_gone(link)
            yield DetachAnswered(link)
            return
        if link.lifecycle.local is Half.NEW:
            self._send_attach(link, None, None)
        unsent = self.detach(link, closed=detach.closed)
        yield LinkDetached(link, detach.error, unsent)

    def _detach_for(self, link: Link, condition: str, description: str) -> LinkDetached:
        error = Error(condition, description)
        return LinkDetached(link, error, self.detach(link, error))

    def _forget_if_gone(self, link: Link) -> None:
        self._incoming.forget(link)
        if link.lifecycle.local is Half.CLOSED and link.lifecycle.remote is Half.CLOSED:
            self._handles.forget(link)

    # saying

    def _must_be_begun(self) -> None:
        if self.lifecycle.local is not Half.OPEN:
            raise LocalProtocolError(f"the session is {self.lifecycle.local.value}")

    def _send_attach(
        self,
        link: Link,
        source: Source | None,
        target: Target | Coordinator | None,
        properties: Map | None = None,
        snd_settle_mode: int = MIXED,
    ) -> None:
        """An answer repeats the settle modes that were asked for."""
        self._must_be_begun()
        link.lifecycle.local_acts(Act.OPENS)
        attach = Attach(
            link.name,
            link.handle,
            link.role,
            link.peer.snd_settle_mode if link.peer else snd_settle_mode,
            link.peer.rcv_settle_mode if link.peer else 0,
            source=source,
            target=target,
            initial_delivery_count=0 if link.role is SENDER else None,
            max_message_size=link.max_message_bytes,
            properties=properties,
        )
        self._outbox.put(self.channel, attach)

    def _send_flow(self, link: Link | None = None, *, drain: bool = False) -> None:
        incoming, outgoing = self._incoming, self._outgoing
        flow = Flow(incoming.next_id, incoming.window, outgoing.next_id, OUTGOING_WINDOW)
        if link is not None:
            flow = flow._replace(
                handle=link.handle, delivery_count=link.delivery_count, link_credit=link.credit, drain=drain
            )
        self._outbox.put(self.channel, flow)
