"""A client receives: an entity's messages go out, and come back settled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import Final
from uuid import UUID

from worker.emulator.amqp.events import DispositionReceived
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performatives import (
    SETTLED,
    DeliveryState,
    Error,
    Rejected,
    Source,
)
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.types import Described, Symbol
from worker.emulator.broker import (
    BrokeredMessage,
    BrokerError,
    ConsumerId,
    NamedSession,
    NextSession,
    ReceiveMode,
    Release,
    SessionChoice,
)
from worker.emulator.faults import Faults
from worker.emulator.server.conditions import SESSION_LOCK_LOST, TIMEOUT, as_amqp_error
from worker.emulator.server.ends import SendingEnd, Wire
from worker.emulator.server.floor import Floor
from worker.emulator.server.messages import encode_message
from worker.emulator.server.settlements import settlement_of

SESSION_FILTER: Final = Symbol("com.microsoft:session-filter")
_LOCKED_UNTIL: Final = Symbol("com.microsoft:locked-until-utc")
_WAIT: Final = Symbol("com.microsoft:timeout")
_DEFAULT_WAIT_S: Final = 60.0
_TICKS_AT_EPOCH: Final = 621_355_968_000_000_000
_TICKS_PER_S: Final = 10_000_000
UNHEARD: Final = "lost on its way, on request"
"""In the history, of a settlement that never came to the broker."""
_SLICE: Final = 100
"""Messages asked of the broker at once: so many may be on their way to a client that stops reading."""


class EntityOutlet(SendingEnd):
    def __init__(self, session: Session, link: Link, *, entity: str, floor: Floor, faults: Faults, wire: Wire) -> None:
        super().__init__(session, link, entity=entity)
        self._floor = floor
        self._faults = faults
        self._wire = wire
        peer = link.peer
        deletes = peer is not None and peer.snd_settle_mode == SETTLED
        self._mode = ReceiveMode.RECEIVE_AND_DELETE if deletes else ReceiveMode.PEEK_LOCK
        self._tags = count(1)
        self._consumer: ConsumerId | None = None
        self._asked_for = 0
        """Credit that the broker has left of what it was given."""
        self.session_id: str | None = None

    def open(self) -> None:
        """With a session, the answer comes when the broker gives one."""
        choice = self._session_choice()
        self._consumer = self._floor.broker.open_consumer(
            self.entity, mode=self._mode, session=choice, now=self._floor.now()
        )
        self._floor.consumers[self._consumer] = self
        if choice is None:
            self._accept(self._source())

    def _source(self) -> Source:
        peer = self.link.peer
        return peer.source if peer is not None and peer.source is not None else Source()

    def _session_choice(self) -> SessionChoice | None:
        filters = self._source().filter or {}
        if SESSION_FILTER not in filters:
            return None
        asked = filters[SESSION_FILTER]
        session_id = asked.value if isinstance(asked, Described) else asked
        if isinstance(session_id, str):
            return NamedSession(session_id=session_id)
        properties = (self.link.peer.properties if self.link.peer else None) or {}
        wait_ms = properties.get(_WAIT)
        return NextSession(timeout_s=wait_ms / 1000 if isinstance(wait_ms, int) else _DEFAULT_WAIT_S)

    def _accept(self, source: Source, locked_until: float | None = None) -> None:
        target = self.link.peer.target if self.link.peer else None
        properties: dict[object, object] | None = None
        if locked_until is not None:
            properties = {_LOCKED_UNTIL: _TICKS_AT_EPOCH + round(locked_until * 1000) * (_TICKS_PER_S // 1000)}
        self.session.accept(self.link, source=source, target=target, properties=properties)
        self._wire.flush_soon()
        self.on_credit()

    # the broker's effects

    def session_accepted(self, session_id: str, locked_until: float) -> None:
        self.session_id = session_id
        source = self._source()
        answered = {**(source.filter or {}), SESSION_FILTER: session_id}
        self._accept(source._replace(filter=answered), locked_until)

    def session_timed_out(self) -> None:
        self._forget_consumer()
        self.session.refuse(self.link, Error(TIMEOUT, "no session with messages came free in the time asked for"))
        self._wire.flush_soon()

    def session_lost(self, session_id: str) -> None:
        self._forget_consumer()
        lost = Error(SESSION_LOCK_LOST, f"the lock on session {session_id!r} expired")
        self.session.detach(self.link, lost)
        self._wire.flush_soon()

    def deliver(self, message: BrokeredMessage) -> None:
        is_settled = message.lock_token is None
        tag = next(self._tags).to_bytes(16, "big") if message.lock_token is None else message.lock_token.bytes_le
        self._asked_for -= 1
        self.session.send(self.link, encode_message(message), tag=tag, is_settled=is_settled)
        self._floor.history.delivered(self._floor.now(), self.entity, message, by=self._floor.key_name_of(self._wire))
        self._wire.flush_soon()

    # the client's wishes

    def on_credit(self) -> None:
        if self._consumer is None or not self.link.lifecycle.is_open:
            return
        if self.link.is_draining:
            self._drain(self._consumer)
        else:
            self._ask(self._consumer)

    def _ask(self, consumer: ConsumerId) -> None:
        is_stuck = self._wire.is_congested or not self.session.has_room
        credit = 0 if is_stuck else min(self.link.credit, _SLICE)
        if credit != self._asked_for:
            self._asked_for = credit
            self._floor.broker.set_credit(consumer, credit, self._floor.now())

    def _drain(self, consumer: ConsumerId) -> None:
        """All that is there, up to the credit; then none is left."""
        self._asked_for = self.link.credit
        self._floor.broker.set_credit(consumer, self.link.credit, self._floor.now())
        self._floor.act_on_effects()
        self._asked_for = 0
        self._floor.broker.set_credit(consumer, 0, self._floor.now())
        self.session.end_drain(self.link)

    @property
    def is_starved(self) -> bool:
        """The client would take more than the broker was asked for."""
        return self._asked_for == 0 and self.link.credit > 0

    def on_disposition(self, disposition: DispositionReceived) -> None:
        if self._faults.drops_disposition(self.entity):
            self._note_unheard(disposition)
            return
        delay_s = self._faults.disposition_delay_s(self.entity)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._settle_late, disposition)
        else:
            self._settle(disposition)

    def _settle_late(self, disposition: DispositionReceived) -> None:
        if self.link.lifecycle.is_open and self._consumer is not None:
            self._settle(disposition)
            self._floor.act_on_effects()
            self._wire.flush_soon()
        else:
            self._note_unheard(disposition)

    def _note_unheard(self, disposition: DispositionReceived) -> None:
        settlement = settlement_of(disposition.state)
        if settlement is not None:
            token = UUID(bytes_le=disposition.tag)
            self._floor.history.settled(self._floor.now(), self.entity, token, settlement, refusal=UNHEARD)

    def _settle(self, disposition: DispositionReceived) -> None:
        settlement = settlement_of(disposition.state)
        if settlement is None:
            return
        answer: DeliveryState | None = disposition.state
        if isinstance(answer, Rejected):
            answer = Rejected()  # with an error it would mean a failure
        try:
            self._floor.settle(self.entity, UUID(bytes_le=disposition.tag), settlement)
        except BrokerError as error:
            answer = Rejected(as_amqp_error(error))
        if self._faults.cuts_after_disposition(self.entity):
            self._wire.cut(resets=True)
        elif not disposition.is_settled and not self._faults.drops_answer(self.entity):
            self.session.dispose(self.link, disposition.delivery_id, answer)

    def stop(self) -> None:
        if self._consumer is not None:
            self._floor.broker.set_credit(self._consumer, 0, self._floor.now())

    def on_gone(self, unsent: tuple[bytes, ...]) -> None:
        """Messages the client may have stay locked; those it can't have go back."""
        consumer = self._consumer
        if consumer is None:
            return
        self._forget_consumer()
        self._floor.broker.close_consumer(consumer, self._floor.now())
        if self._mode is ReceiveMode.PEEK_LOCK:
            for tag in unsent:
                with suppress(BrokerError):  # back already: its session is given up, or its lock has expired
                    self._floor.settle(self.entity, UUID(bytes_le=tag), Release())

    def holds(self, entity: str, session_id: str) -> bool:
        return self.entity.casefold() == entity.casefold() and self.session_id == session_id

    def _forget_consumer(self) -> None:
        if self._consumer is not None:
            del self._floor.consumers[self._consumer]
            self._consumer = None
