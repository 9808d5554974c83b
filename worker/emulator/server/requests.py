"""Request and response over two links: `$management` of an entity, and `$cbs`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final, NamedTuple

from worker.emulator.amqp.errors import DECODE_ERROR, MESSAGE_SIZE_EXCEEDED, DecodeError
from worker.emulator.amqp.events import DeliveryReceived, DeliveryTooLarge
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.message import (
    AMQP_VALUE,
    APPLICATION_PROPERTIES,
    Properties,
    encode_properties,
    encode_section,
    read_sections,
    read_value,
)
from worker.emulator.amqp.performatives import Error, Map, Rejected
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.types import Int, Symbol
from worker.emulator.server.addresses import Node
from worker.emulator.server.ends import LinkEnd, ReceivingEnd, SendingEnd
from worker.emulator.server.intake import ACCEPTED
from worker.emulator.server.management import Answer

MAX_REQUEST_BYTES: Final = 1024 * 1024


class Request(NamedTuple):
    message_id: object
    reply_to: str | None
    properties: Map
    body: object


class RequestEnd(ReceivingEnd):
    """Where requests come in. `perform` does what is asked; among `ends` is the link to answer on."""

    def __init__(
        self,
        session: Session,
        link: Link,
        *,
        entity: str,
        node: Node,
        perform: Callable[[Request], Answer],
        ends: Mapping[Link, LinkEnd],
    ) -> None:
        super().__init__(session, link, entity=entity)
        self._node = node
        self._perform = perform
        self._ends = ends

    def open(self) -> None:
        self.accept(max_message_bytes=MAX_REQUEST_BYTES)

    def on_delivery(self, delivery: DeliveryReceived) -> None:
        try:
            request = read_request(delivery.payload)
        except DecodeError as error:
            self.session.dispose(self.link, delivery.delivery_id, Rejected(Error(DECODE_ERROR, error.description)))
            return
        self.session.dispose(self.link, delivery.delivery_id, ACCEPTED)
        self.replenish()
        answer = self._perform(request)
        responder = self._responder(request)
        if responder is not None:
            responder.respond(request, answer)

    def _responder(self, request: Request) -> ResponseEnd | None:
        """The link that the request names, else the newest one of the same node."""
        candidates = [
            end
            for end in self._ends.values()
            if isinstance(end, ResponseEnd) and end.node is self._node and end.entity == self.entity
        ]
        named = [end for end in candidates if end.is_named(request.reply_to)]
        found = named or candidates
        return found[-1] if found else None

    def on_oversize(self, delivery: DeliveryTooLarge) -> None:
        refused = Rejected(Error(MESSAGE_SIZE_EXCEEDED, f"a request is at most {MAX_REQUEST_BYTES} bytes"))
        self.session.dispose(self.link, delivery.delivery_id, refused)
        self.replenish()


class ResponseEnd(SendingEnd):
    """Where answers go out, as the client gives credit."""

    def __init__(self, session: Session, link: Link, *, entity: str, node: Node, names: StatusNames) -> None:
        super().__init__(session, link, entity=entity)
        self.node = node
        self._names = names
        self._tags = count(1)
        self._waiting: deque[bytes] = deque()

    def open(self) -> None:
        peer = self.link.peer
        if peer is not None:
            self.session.accept(self.link, source=peer.source, target=peer.target)
            self.on_credit()

    def is_named(self, reply_to: str | None) -> bool:
        peer = self.link.peer
        target = peer.target if peer is not None else None
        return reply_to is not None and reply_to in {self.link.name, getattr(target, "address", None)}

    def respond(self, request: Request, answer: Answer) -> None:
        self._waiting.append(_encode_response(self._names, request, answer))
        self.on_credit()

    def on_credit(self) -> None:
        if not self.link.lifecycle.is_open:
            return
        while self._waiting and self.link.credit > 0:
            tag = next(self._tags).to_bytes(4, "big")
            self.session.send(self.link, self._waiting.popleft(), tag=tag, is_settled=True)
        if self.link.is_draining:
            self.session.end_drain(self.link)


class StatusNames(NamedTuple):
    """The two nodes spell their answers' properties differently."""

    code: str
    description: str
    condition: str


MANAGEMENT_STATUS: Final = StatusNames("statusCode", "statusDescription", "errorCondition")
CBS_STATUS: Final = StatusNames("status-code", "status-description", "error-condition")


def read_request(payload: bytes) -> Request:
    """Raises DecodeError."""
    sections = read_sections(payload)
    properties = read_value(sections.bare, APPLICATION_PROPERTIES)
    return Request(
        sections.properties.message_id,
        sections.properties.reply_to,
        properties if isinstance(properties, dict) else {},
        read_value(sections.bare, AMQP_VALUE),
    )


def _encode_response(names: StatusNames, request: Request, answer: Answer) -> bytes:
    status: Map = {names.code: Int(answer.status), names.description: answer.description}
    if answer.condition is not None:
        status[names.condition] = Symbol(answer.condition)
    return b"".join(
        (
            encode_properties(Properties(correlation_id=request.message_id)),
            encode_section(APPLICATION_PROPERTIES, status),
            encode_section(AMQP_VALUE, answer.body),
        )
    )
