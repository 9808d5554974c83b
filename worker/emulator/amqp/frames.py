"""Frames on the wire (part 2.3): size, data offset, type, channel, body."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from worker.emulator.amqp.errors import FRAMING_ERROR, RemoteProtocolError

AMQP_HEADER: Final = b"AMQP\x00\x01\x00\x00"
SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
HEADER_BYTES: Final = 8
MIN_MAX_FRAME_BYTES: Final = 512
"""Every peer takes frames of this size, before and whatever it says in `open`."""
AMQP_TYPE: Final = 0
SASL_TYPE: Final = 1
HEARTBEAT: Final = b"\x00\x00\x00\x08\x02\x00\x00\x00"
"""An empty frame: it says only that the connection lives."""

_HEAD: Final = struct.Struct(">IBBH")


class Frame(NamedTuple):
    type: int
    channel: int
    body: bytes
    """Empty for a heartbeat."""


def encode_frame(channel: int, body: bytes, *, frame_type: int = AMQP_TYPE) -> bytes:
    return _HEAD.pack(len(body) + 8, 2, frame_type, channel) + body


class ReadBuffer:
    """Bytes as they came, until a header or a whole frame can be taken off the front."""

    __slots__ = ("_data", "_position", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._data = b""
        self._position = 0

    def feed(self, data: bytes) -> None:
        rest = self._data[self._position :] if self._position < len(self._data) else b""
        self._data = rest + data if rest else data
        self._position = 0

    def __len__(self) -> int:
        return len(self._data) - self._position

    def take_header(self) -> bytes | None:
        if len(self) < HEADER_BYTES:
            return None
        start = self._position
        self._position += HEADER_BYTES
        return self._data[start : self._position]

    def take_frame(self) -> Frame | None:
        """None until all of a frame is there. Raises RemoteProtocolError as soon as its head can't be right."""
        start = self._position
        there = len(self._data) - start
        if there < 8:
            return None
        size, offset, frame_type, channel = _HEAD.unpack_from(self._data, start)
        if size > self.max_frame_bytes:
            raise RemoteProtocolError(
                FRAMING_ERROR, f"a frame of {size} bytes came; at most {self.max_frame_bytes} were allowed"
            )
        if offset < 2 or size < 4 * offset:
            raise RemoteProtocolError(FRAMING_ERROR, f"a frame of {size} bytes cannot have its body at {4 * offset}")
        if there < size:
            return None
        self._position = start + size
        return Frame(frame_type, channel, self._data[start + 4 * offset : self._position])
