"""Deliveries across a session: cut into transfers on the way out, put together on the way in, windows kept."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from worker.emulator.amqp import errors
from worker.emulator.amqp.encode import encode_binary, encode_uint
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.events import DeliveryReceived, DeliveryTooLarge
from worker.emulator.amqp.link import SERIAL_MASK, IncomingDelivery, Link, serial_difference
from worker.emulator.amqp.outbox import Outbox
from worker.emulator.amqp.performatives import Flow, Transfer

MAX_TAG_BYTES: Final = 32
_HEAD: Final = struct.Struct(">IBBH4sBB")
"""Size, data offset, type, channel; the transfer's descriptor and list constructor; that list's size and count."""
_TRANSFER_LIST: Final = b"\x00\x53\x14\xc0"
_FIELD_COUNT: Final = 11
_FLAGS: Final = {
    (is_settled, more): bytes((0x41 if is_settled else 0x42, 0x41 if more else 0x42)) + b"\x40\x40\x42\x42\x42"
    for is_settled in (True, False)
    for more in (True, False)
}
"""The fields settled and more, and the five behind them, which this engine leaves null or false."""


_DISPOSITION: Final = struct.Struct(">IBBH4sIIBBIBIB")
"""Size, data offset, type, channel; descriptor and list constructor; the list's size and count; role; first and last,
each behind its constructor; settled. State and batchable follow."""
_DISPOSITION_LIST: Final = b"\x00\x53\x15\xd0"


def encode_disposition(channel: int, role: bool, delivery_id: int, *, is_settled: bool, state: bytes) -> bytes:
    """A disposition of one delivery, as a frame. `state` is encoded already."""
    head = _DISPOSITION.pack(
        _DISPOSITION.size + len(state) + 1,
        2,
        0,
        channel,
        _DISPOSITION_LIST,
        len(state) + 17,
        6,
        0x41 if role else 0x42,
        0x70,
        delivery_id,
        0x70,
        delivery_id,
        0x41 if is_settled else 0x42,
    )
    return head + state + b"\x42"


class _Waiting(NamedTuple):
    link: Link
    tag: bytes
    frame: bytes


class Outgoing:
    """Deliveries this end sends."""

    __slots__ = ("_channel", "_next_delivery_id", "_outbox", "_waiting", "next_id", "peer_window", "unsettled")

    def __init__(self, channel: int, outbox: Outbox) -> None:
        self._channel = channel
        self._outbox = outbox
        self._next_delivery_id = 0
        self._waiting: deque[_Waiting] = deque()
        self.next_id = 0
        self.peer_window = 0
        """Transfers that the peer has room for."""
        self.unsettled: dict[int, tuple[Link, bytes]] = {}

    @property
    def has_room(self) -> bool:
        return self.peer_window > 0 and not self._waiting

    def send(self, link: Link, payload: bytes, tag: bytes, *, is_settled: bool, message_format: int) -> int:
        if len(tag) > MAX_TAG_BYTES:
            raise LocalProtocolError(f"a delivery tag is at most {MAX_TAG_BYTES} bytes, not {len(tag)}")
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & SERIAL_MASK
        link.spend_credit()
        if not is_settled:
            self.unsettled[delivery_id] = (link, tag)
        named = encode_uint(link.handle) + encode_uint(delivery_id) + encode_binary(tag) + encode_uint(message_format)
        room = self._outbox.peer_max_frame_bytes - _HEAD.size - len(named) - 7
        at = 0
        while len(payload) - at > room:
            self._put(link, tag, named + _FLAGS[is_settled, True], payload[at : at + room])
            at += room
        self._put(link, tag, named + _FLAGS[is_settled, False], payload[at:] if at else payload)
        return delivery_id

    def _put(self, link: Link, tag: bytes, fields: bytes, payload: bytes) -> None:
        size = _HEAD.size + len(fields) + len(payload)
        head = _HEAD.pack(size, 2, 0, self._channel, _TRANSFER_LIST, len(fields) + 1, _FIELD_COUNT)
        frame = b"".join((head, fields, payload))
        if self.has_room:
            self._put_now(frame)
        else:
            self._waiting.append(_Waiting(link, tag, frame))

    def _put_now(self, frame: bytes) -> None:
        self._outbox.put_bytes(frame)
        self.next_id = (self.next_id + 1) & SERIAL_MASK
        self.peer_window -= 1

    def take_flow(self, flow: Flow) -> None:
        heard = 0 if flow.next_incoming_id is None else flow.next_incoming_id
        self.open_window(serial_difference(heard, self.next_id) + flow.incoming_window)

    def open_window(self, transfers: int) -> None:
        self.peer_window = transfers
        while self._waiting and self.peer_window > 0:
            self._put_now(self._waiting.popleft().frame)

    def recall(self, link: Link) -> tuple[bytes, ...]:
        """Forget the link. Answers with the tags of deliveries that had not wholly gone out."""
        unsent = tuple(dict.fromkeys(waiting.tag for waiting in self._waiting if waiting.link is link))
        if unsent:
            self._waiting = deque(waiting for waiting in self._waiting if waiting.link is not link)
        for delivery_id in [key for key, (owner, _) in self.unsettled.items() if owner is link]:
            del self.unsettled[delivery_id]
        return unsent


class Incoming:
    """Deliveries the peer sends."""

    __slots__ = ("_capacity", "next_id", "unsettled", "window")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.window = capacity
        """Transfers this end still has room for, as the peer was told."""
        self.next_id: int | None = None
        self.unsettled: dict[int, tuple[Link, bytes]] = {}

    def count_transfer(self) -> bool:
        """True when the peer should be told of more room. Raises RemoteProtocolError past the window."""
        self.window -= 1
        if self.window < 0:
            raise RemoteProtocolError(errors.WINDOW_VIOLATION, "more transfers came than the session window allowed")
        self.next_id = ((self.next_id or 0) + 1) & SERIAL_MASK
        if self.window > self._capacity // 2:
            return False
        self.window = self._capacity
        return True

    def take(self, link: Link, transfer: Transfer, payload: bytes) -> DeliveryReceived | DeliveryTooLarge | None:
        """The delivery, once it is whole. Raises RemoteProtocolError; for want of credit, with that condition."""
        delivery = link.incoming
        if delivery is None:
            delivery = self._begin(link, transfer)
        elif transfer.delivery_id not in {None, delivery.delivery_id}:
            raise RemoteProtocolError(
                errors.NOT_ALLOWED, f"delivery {transfer.delivery_id} began before {delivery.delivery_id} was whole"
            )
        if transfer.aborted:
            link.incoming = None
            link.spend_credit()
            return None
        delivery.is_settled = delivery.is_settled or bool(transfer.settled)
        delivery.add(payload, link.max_message_bytes)
        if transfer.more:
            link.incoming = delivery
            return None
        link.incoming = None
        link.spend_credit()
        if not delivery.is_settled:
            self.unsettled[delivery.delivery_id] = (link, delivery.tag)
        if delivery.is_too_large:
            return DeliveryTooLarge(link, delivery.delivery_id, delivery.is_settled, delivery.size_bytes)
        return DeliveryReceived(
            link, delivery.delivery_id, delivery.tag, delivery.message_format, delivery.is_settled, delivery.payload
        )

    def _begin(self, link: Link, transfer: Transfer) -> IncomingDelivery:
        if transfer.delivery_id is None or transfer.delivery_tag is None:
            raise RemoteProtocolError(errors.INVALID_FIELD, "a delivery's first transfer has a delivery-id and a tag")
        if len(transfer.delivery_tag) > MAX_TAG_BYTES:
            raise RemoteProtocolError(errors.INVALID_FIELD, f"a delivery tag is at most {MAX_TAG_BYTES} bytes")
        if transfer.delivery_id in self.unsettled:
            raise RemoteProtocolError(errors.NOT_ALLOWED, f"delivery {transfer.delivery_id} is not settled yet")
        if link.credit < 1:
            raise RemoteProtocolError(errors.TRANSFER_LIMIT_EXCEEDED, "a delivery came without credit for it")
        return IncomingDelivery(transfer.delivery_id, transfer.delivery_tag, transfer.message_format or 0)

    def forget(self, link: Link) -> None:
        for delivery_id in [key for key, (owner, _) in self.unsettled.items() if owner is link]:
            del self.unsettled[delivery_id]


def named_deliveries(
    unsettled: dict[int, tuple[Link, bytes]], first: int, last: int
) -> Iterator[tuple[int, Link, bytes]]:
    """Those of the range that are known; the range is the peer's word, so it is never walked where it is the longer."""
    span = (last - first) & SERIAL_MASK
    if span < len(unsettled):
        for offset in range(span + 1):
            delivery_id = (first + offset) & SERIAL_MASK
            if delivery_id in unsettled:
                yield delivery_id, *unsettled[delivery_id]
    else:
        for delivery_id, (link, tag) in list(unsettled.items()):
            if (delivery_id - first) & SERIAL_MASK <= span:
                yield delivery_id, link, tag
