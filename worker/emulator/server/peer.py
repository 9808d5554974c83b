"""One client's connection: what it may do, which links it has, and to which end each event goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from worker.emulator.amqp import events
from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.errors import NOT_IMPLEMENTED, UNAUTHORIZED
from worker.emulator.amqp.events import LinkDetached
from worker.emulator.amqp.lifecycle import Half
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import Coordinator, Error
from worker.emulator.amqp.session import Session
from worker.emulator.broker import BrokerError
from worker.emulator.faults import Faults
from worker.emulator.server import management
from worker.emulator.server.addresses import Address, Node, parse_address
from worker.emulator.server.auth import Admission
from worker.emulator.server.cbs import REFUSED_ON_REQUEST, put_token
from worker.emulator.server.conditions import SESSION_LOCK_LOST, as_amqp_error
from worker.emulator.server.ends import LinkEnd, ReceivingEnd, SendingEnd, Wire
from worker.emulator.server.floor import Floor
from worker.emulator.server.intake import EntityIntake
from worker.emulator.server.management import Answer
from worker.emulator.server.outlet import EntityOutlet
from worker.emulator.server.requests import CBS_STATUS, MANAGEMENT_STATUS, Request, RequestEnd, ResponseEnd

MECHANISMS: Final = ("MSSBCBS", "ANONYMOUS", "PLAIN")
CONTAINER_ID: Final = "flowbridge-emulator"
RENEW_LOCK: Final = "com.microsoft:renew-lock"


class Peer:
    def __init__(
        self, connection: Connection, wire: Wire, *, floor: Floor, faults: Faults, admission: Admission
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._floor = floor
        self._faults = faults
        self._admission = admission
        self.ends: dict[Link, LinkEnd] = {}

    def hear(self, event: events.Event) -> None:
        self._floor.history.actor = self._admission.key_name
        match event:
            case events.DeliveryReceived():
                self._receiving(event.link).on_delivery(event)
            case events.DispositionReceived():
                end = self.ends.get(event.link)
                if isinstance(end, SendingEnd):
                    end.on_disposition(event)
            case events.CreditChanged():
                end = self.ends.get(event.link)
                if isinstance(end, SendingEnd):
                    end.on_credit()
            case events.WindowOpened():
                self.resume(event.channel)
            case events.DeliveryTooLarge():
                self._receiving(event.link).on_oversize(event)
            case events.LinkAttached():
                self._attach(event.link)
            case events.LinkDetached():
                self.gone((event,))
            case events.DetachAnswered():
                self.ends.pop(event.link, None)
            case events.SessionBegun():
                self._connection.session(event.channel).begin()
            case events.SessionEnded():
                self.gone(event.detached)
            case events.SaslRequested():
                self._connection.answer_sasl(
                    is_accepted=event.mechanism != "PLAIN" or self._admission.check_plain(event.response)
                )
            case events.ConnectionOpened():
                self._connection.open(CONTAINER_ID)
            case events.ConnectionClosed() | events.SaslFinished():
                pass
            case _:
                assert_never(event)
        self._floor.act_on_effects()

    def gone(self, detached: tuple[events.LinkDetached, ...]) -> None:
        """All are stopped before the first gives messages back, or another of them might get these."""
        ended = [(self.ends.pop(each.link), each.unsent) for each in detached if each.link in self.ends]
        for end, _ in ended:
            end.stop()
        for end, unsent in ended:
            end.on_gone(unsent)

    def lost(self) -> None:
        """The connection is."""
        self.gone(self._connection.give_up())
        self._floor.act_on_effects()

    def resume(self, channel: int | None = None) -> None:
        """There is room again, on the session of this channel or on the connection: who waited goes on."""
        starved = [end for end in self.ends.values() if isinstance(end, EntityOutlet) and end.is_starved]
        for end in starved:
            if channel in {None, end.link.channel}:
                end.on_credit()
        if starved:
            self._floor.act_on_effects()

    def _receiving(self, link: Link) -> ReceivingEnd:
        end = self.ends[link]
        if not isinstance(end, ReceivingEnd):
            raise TypeError("deliveries come in on links that the server receives on")
        return end

    # links

    def _attach(self, link: Link) -> None:
        session = self._connection.session(link.channel)
        try:
            error = self._open_end(session, link)
        except BrokerError as refusal:
            error = as_amqp_error(refusal)
        if error is not None:
            self.ends.pop(link, None)
            session.refuse(link, error)

    def _open_end(self, session: Session, link: Link) -> Error | None:
        """What speaks against the link, if anything. Raises BrokerError."""
        peer = link.peer
        terminus = None if peer is None else peer.source if link.is_sender else peer.target
        if isinstance(terminus, Coordinator):
            return Error(NOT_IMPLEMENTED, "this broker has no transactions")
        address = parse_address(terminus.address if terminus and isinstance(terminus.address, str) else "")
        if address.node is not Node.CBS:
            if not self._admission.allows(address.path, self._floor.now()):
                return Error(UNAUTHORIZED, f"no token that still holds was put for {address.path!r}")
            address = replace(address, entity=self._floor.broker.facts(address.entity).path)
        refusal = self._faults.refusal_of_attach(address.entity) if address.node is Node.ENTITY else None
        if refusal is not None:
            return refusal
        end = self._end(session, link, address)
        self.ends[link] = end
        end.open()
        return None

    def _end(self, session: Session, link: Link, address: Address) -> LinkEnd:
        entity, node = address.entity, address.node
        if node is Node.ENTITY:
            kind = EntityOutlet if link.is_sender else EntityIntake
            return kind(session, link, entity=entity, floor=self._floor, faults=self._faults, wire=self._wire)
        if link.is_sender:
            names = CBS_STATUS if node is Node.CBS else MANAGEMENT_STATUS
            return ResponseEnd(session, link, entity=entity, node=node, names=names)
        perform = self._put_token if node is Node.CBS else partial(self._manage, entity)
        return RequestEnd(session, link, entity=entity, node=node, perform=perform, ends=self.ends)

    def _put_token(self, request: Request) -> Answer:
        if self._faults.refuses_token():
            return REFUSED_ON_REQUEST
        answer = put_token(self._admission, request, self._floor.now())
        self._floor.key_names[self._wire] = self._admission.key_name
        return answer

    def _manage(self, entity: str, request: Request) -> Answer:
        if self._faults.refuses_management(entity):
            return management.BUSY
        answer = management.answer(self._floor, entity, request.properties.get("operation"), request.body)
        if request.properties.get("operation") == RENEW_LOCK and self._faults.cuts_after_renewal(entity):
            self._wire.cut(resets=True)
        return answer

    # seen from outside

    @property
    def link_count(self) -> int:
        return sum(end.link.lifecycle.local is not Half.CLOSED for end in self.ends.values())

    def has_link_on(self, entity: str) -> bool:
        return any(end.entity.casefold() == entity.casefold() for end in self.ends.values())

    def detach_links_on(self, entity: str, error: Error) -> int:
        folded = entity.casefold()
        hit = [
            end
            for end in self.ends.values()
            if end.entity.casefold() == folded and isinstance(end, EntityIntake | EntityOutlet)
        ]
        self._detach(hit, error)
        return len(hit)

    def lose_session(self, entity: str, session_id: str) -> bool:
        for end in self.ends.values():
            if isinstance(end, EntityOutlet) and end.holds(entity, session_id):
                self._detach([end], Error(SESSION_LOCK_LOST, f"the lock on session {session_id!r} was lost"))
                return True
        return False

    def _detach(self, ends: Sequence[LinkEnd], error: Error) -> None:
        attached = [end for end in ends if end.link.lifecycle.is_open]
        self.gone(tuple(LinkDetached(end.link, error, end.session.detach(end.link, error)) for end in attached))
        self._floor.act_on_effects()
        self._wire.flush_soon()
