"""A client sends: its messages go into an entity."""

from __future__ import annotations

from typing import Final

from worker.emulator.amqp.errors import DECODE_ERROR, MESSAGE_SIZE_EXCEEDED, DecodeError
from worker.emulator.amqp.events import DeliveryReceived, DeliveryTooLarge
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import Accepted, Error, Outcome, Rejected
from worker.emulator.amqp.session import Session
from worker.emulator.broker import BrokerError
from worker.emulator.faults import Faults
from worker.emulator.server.conditions import as_amqp_error
from worker.emulator.server.ends import ReceivingEnd, Wire
from worker.emulator.server.floor import Floor
from worker.emulator.server.messages import read_messages

ACCEPTED: Final = Accepted()


class EntityIntake(ReceivingEnd):
    def __init__(self, session: Session, link: Link, *, entity: str, floor: Floor, faults: Faults, wire: Wire) -> None:
        super().__init__(session, link, entity=entity)
        self._floor = floor
        self._faults = faults
        self._wire = wire

    def open(self) -> None:
        self.accept(max_message_bytes=self._floor.broker.facts(self.entity).max_message_bytes)

    def on_delivery(self, delivery: DeliveryReceived) -> None:
        outcome = self._take(delivery)
        if outcome is ACCEPTED and self._faults.cuts_after_send(self.entity):
            self._wire.cut(resets=True)
            return
        if not delivery.is_settled:
            self.session.dispose(self.link, delivery.delivery_id, outcome)
        self.replenish()

    def _take(self, delivery: DeliveryReceived) -> Outcome:
        refusal = self._faults.refusal_of_send(self.entity)
        if refusal is not None:
            return Rejected(refusal)
        try:
            self._floor.send(self.entity, read_messages(delivery.payload, delivery.message_format))
        except DecodeError as error:
            return Rejected(Error(DECODE_ERROR, error.description))
        except BrokerError as error:
            return Rejected(as_amqp_error(error))
        return ACCEPTED

    def on_oversize(self, delivery: DeliveryTooLarge) -> None:
        limit = self.link.max_message_bytes
        description = (
            f"The received message (delivery-id:{delivery.delivery_id}, size:{delivery.size_bytes} bytes) "
            f"exceeds the limit ({limit} bytes) currently allowed on the link."
        )
        if not delivery.is_settled:
            refused = Rejected(Error(MESSAGE_SIZE_EXCEEDED, description))
            self.session.dispose(self.link, delivery.delivery_id, refused)
        self.replenish()
