"""A TCP connection and the AMQP engine on it: bytes in, events to the peer; what gathers goes out together.

AMQP comes on the connection itself, with TLS below it or not, or in the messages of a web socket. HTTP comes for
that one, or to send a message by POST. The connection's first byte tells: AMQP begins with its own name, and no method
of HTTP begins with an A.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol, cast

from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.errors import RemoteProtocolError
from worker.emulator.amqp.performatives import Error
from worker.emulator.faults import Faults
from worker.emulator.server.auth import Admission, Auth
from worker.emulator.server.floor import Floor
from worker.emulator.server.peer import MECHANISMS, Peer

HIGH_WATER_BYTES: Final = 256 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time at all: the socket closes with RST."""


class WayOut(Protocol):
    """A transport, or a web socket on one."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None:
        """Once everything written is out."""


class TcpWire(asyncio.Protocol):
    def __init__(
        self,
        *,
        floor: Floor,
        faults: Faults,
        auth: Auth,
        wires: set[TcpWire],
        new_http: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Connection(is_server=True, now=self._loop.time(), mechanisms=MECHANISMS)
        self._peer = Peer(self._engine, self, floor=floor, faults=faults, admission=Admission(auth))
        self._floor = floor
        self._wires = wires
        self._transport: asyncio.Transport | None = None
        self._out: WayOut | None = None
        self._new_http = new_http
        self._http: asyncio.Protocol | None = None
        self._was_spoken_to = False
        self._unheard = b""
        self._flush_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._is_paused = False
        self._is_silent = False

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._out = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._wires.add(self)
        self._arm()
        self._floor.tell_watchers()

    def data_received(self, data: bytes) -> None:
        if not self._was_spoken_to and self._transport is not None and _is_http(data):
            self._http = self._new_http()
            self._http.connection_made(self._transport)
        self._was_spoken_to = True
        if self._http is not None:
            self._engine.receive_data(b"", self._loop.time())  # it counts the silence
            self._http.data_received(data)
        else:
            self.hear(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._wires.discard(self)
        for handle in (self._flush_handle, self._timer):
            if handle is not None:
                handle.cancel()
        self._transport = self._out = None
        if self._http is not None:
            self._http.connection_lost(exc)
        self._peer.lost()

    def pause_writing(self) -> None:
        self._is_paused = True
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._http is not None:
            self._http.resume_writing()
        self._peer.resume()
        self.flush_soon()

    # what is said, by itself or in a web socket's messages

    def speak_through(self, out: WayOut) -> None:
        """From now on; what comes is told by `hear`."""
        if self._transport is not None:
            self._out = out

    def hear(self, data: bytes) -> None:
        if self._is_silent:  # what was read before, but not heard
            self._unheard += data
            return
        self._engine.receive_data(data, self._loop.time())
        try:
            while (event := self._engine.next_event()) is not None:
                self._peer.hear(event)
        except RemoteProtocolError:
            pass  # the engine has put into words what the peer is to hear of it
        self.flush_soon()

    # the way out

    @property
    def is_congested(self) -> bool:
        return self._is_paused or self._is_silent

    def flush_soon(self) -> None:
        """In the next turn of the loop, so that what several clients cause goes out in one write."""
        if self._flush_handle is None and self._out is not None:
            self._flush_handle = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        if self._out is None or self._is_silent:
            return
        data = self._engine.data_to_send()
        if data:
            self._out.write(data)
        if self._engine.is_over:
            self._out.close()
            return
        self._arm()
        if not self._is_paused:
            self._peer.resume()

    def _arm(self) -> None:
        """A deadline moves away with every frame; the timer is only set again when it fires, or would be late."""
        deadline = self._engine.next_deadline()
        if deadline is None or deadline >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer_at = float("inf")
        self._engine.advance(self._loop.time())
        self.flush_soon()
        self._arm()

    # faults

    @property
    def link_count(self) -> int:
        return self._peer.link_count

    def has_link_on(self, entity: str) -> bool:
        return self._peer.has_link_on(entity)

    def cut(self, *, resets: bool) -> None:
        if self._transport is None:
            return
        if resets:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def fall_silent(self) -> None:
        if self._transport is not None and not self._is_silent:
            self._is_silent = True
            self._transport.pause_reading()

    def speak_again(self) -> None:
        if self._is_silent and self._transport is not None:
            self._is_silent = False
            self._transport.resume_reading()
            unheard, self._unheard = self._unheard, b""
            self.hear(unheard)

    def detach_links_on(self, entity: str, error: Error) -> int:
        return self._peer.detach_links_on(entity, error)

    def lose_session(self, entity: str, session_id: str) -> bool:
        return self._peer.lose_session(entity, session_id)


def _is_http(data: bytes) -> bool:
    first = data[:1]
    return first.isupper() and first != b"A"
