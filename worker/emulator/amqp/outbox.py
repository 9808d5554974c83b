"""The way out: what a connection, its sessions and their links want sent, in order."""

from __future__ import annotations

from worker.emulator.amqp.frames import MIN_MAX_FRAME_BYTES, encode_frame
from worker.emulator.amqp.performative_codec import encode_performative
from worker.emulator.amqp.performatives import Performative


class Outbox:
    __slots__ = ("_chunks", "peer_max_frame_bytes")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self.peer_max_frame_bytes = MIN_MAX_FRAME_BYTES

    def put(self, channel: int, performative: Performative) -> None:
        self._chunks.append(encode_frame(channel, encode_performative(performative)))

    def put_bytes(self, encoded: bytes) -> None:
        self._chunks.append(encoded)

    def take(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)

    def __bool__(self) -> bool:
        return bool(self._chunks)
