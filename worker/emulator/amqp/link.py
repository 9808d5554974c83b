"""One end of a link: its credit, its deliveries under way. The session it lives in does the talking."""

from __future__ import annotations

from typing import Final

from worker.emulator.amqp.lifecycle import Lifecycle
from worker.emulator.amqp.performatives import RECEIVER, SENDER, Attach, Flow

SERIAL_MASK: Final = 0xFFFFFFFF


def serial_difference(a: int, b: int) -> int:
    """`a - b` in the sequence numbers of RFC 1982, which wrap at 2^32."""
    return ((a - b + 0x80000000) & SERIAL_MASK) - 0x80000000


class Link:
    __slots__ = (
        "channel",
        "credit",
        "delivery_count",
        "handle",
        "incoming",
        "is_draining",
        "lifecycle",
        "max_message_bytes",
        "name",
        "peer",
        "role",
    )

    def __init__(self, name: str, *, channel: int, handle: int, role: bool) -> None:
        self.name = name
        self.channel = channel
        """That of the session it lives in."""
        self.handle = handle
        self.role = role
        """SENDER or RECEIVER: what this end is."""
        self.lifecycle = Lifecycle("link")
        self.peer: Attach | None = None
        """What the other end said when it attached."""
        self.credit = 0
        self.delivery_count = 0
        self.is_draining = False
        self.max_message_bytes: int | None = None
        """Largest message this end takes."""
        self.incoming: IncomingDelivery | None = None

    @property
    def is_sender(self) -> bool:
        return self.role is SENDER

    @property
    def is_receiver(self) -> bool:
        return self.role is RECEIVER

    def take_flow(self, flow: Flow) -> None:
        """The receiver sets credit from the sender's last known count; the sender tells how far it has come."""
        if self.role is SENDER:
            since = serial_difference(flow.delivery_count or 0, self.delivery_count)
            self.credit = max(0, since + (flow.link_credit or 0))
            self.is_draining = flow.drain
            return
        if flow.delivery_count is not None:
            self.credit = max(0, self.credit - serial_difference(flow.delivery_count, self.delivery_count))
            self.delivery_count = flow.delivery_count

    def spend_credit(self) -> None:
        self.credit -= 1
        self.delivery_count = (self.delivery_count + 1) & SERIAL_MASK


class IncomingDelivery:
    """A delivery whose transfers are still coming in."""

    __slots__ = ("_parts", "delivery_id", "is_settled", "is_too_large", "message_format", "size_bytes", "tag")

    def __init__(self, delivery_id: int, tag: bytes, message_format: int) -> None:
        self.delivery_id = delivery_id
        self.tag = tag
        self.message_format = message_format
        self.is_settled = False
        self.is_too_large = False
        self.size_bytes = 0
        """Of all that came, also of what was not kept."""
        self._parts: list[bytes] = []

    def add(self, payload: bytes, limit_bytes: int | None) -> None:
        """Above the limit the parts are only counted."""
        self.size_bytes += len(payload)
        if limit_bytes and self.size_bytes > limit_bytes:
            self.is_too_large = True
            self._parts.clear()
        elif payload:  # any number of empty transfers costs nothing
            self._parts.append(payload)

    @property
    def payload(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
