"""One connection: headers, SASL, open and close, channels, and silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from worker.emulator.amqp import errors
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.events import (
    ConnectionClosed,
    ConnectionOpened,
    Event,
    LinkDetached,
    SaslFinished,
    SessionBegun,
)
from worker.emulator.amqp.frames import (
    AMQP_HEADER,
    AMQP_TYPE,
    HEARTBEAT,
    MIN_MAX_FRAME_BYTES,
    SASL_HEADER,
    SASL_TYPE,
    Frame,
    ReadBuffer,
    encode_frame,
)
from worker.emulator.amqp.lifecycle import Act, Half, Lifecycle
from worker.emulator.amqp.outbox import Outbox
from worker.emulator.amqp.performative_codec import decode_performative, decode_sasl, encode_sasl
from worker.emulator.amqp.performatives import (
    Begin,
    Close,
    End,
    Error,
    Map,
    Open,
    Performative,
    SaslInit,
    SaslOutcome,
    SaslPerformative,
)
from worker.emulator.amqp.sasl import ClientExchange, ServerExchange
from worker.emulator.amqp.session import Session
from worker.emulator.amqp.silence import Silence

MAX_FRAME_BYTES: Final = 65_536
CHANNEL_MAX: Final = 4_999
HANDLE_MAX: Final = 8_191
IDLE_TIMEOUT_S: Final = 480.0
"""Silence after which this end gives up; the peer is told half of it, as part 2.4.5 advises."""


class Phase(Enum):
    HEADER = auto()
    """The next bytes are a protocol header."""
    SASL = auto()
    AMQP = auto()
    OVER = auto()
    """Whatever still comes is ignored."""


class Connection:
    """One end of a connection, `is_server` or client. Give it bytes, take its events, send what it wants sent.

    After `receive_data` call `next_event` until it answers None. It raises RemoteProtocolError when the peer broke the
    protocol; the connection is over then, and `data_to_send` holds what the peer is to be told.
    """

    def __init__(
        self,
        *,
        is_server: bool,
        now: float,
        mechanisms: Sequence[str] = (),
        max_frame_bytes: int = MAX_FRAME_BYTES,
        idle_timeout_s: float | None = IDLE_TIMEOUT_S,
    ) -> None:
        """`mechanisms`: those a server offers."""
        self.is_server = is_server
        self.lifecycle = Lifecycle("connection")
        self._phase = Phase.HEADER
        self._sasl: ServerExchange | ClientExchange | None = ServerExchange(tuple(mechanisms)) if mechanisms else None
        self._reading = ReadBuffer(MIN_MAX_FRAME_BYTES)
        self._outbox = Outbox()
        self._events: deque[Event] = deque()
        self._sessions: dict[int, Session] = {}
        self._by_peer_channel: dict[int, Session] = {}
        self._peer_channel_max = CHANNEL_MAX
        self._max_frame_bytes = max_frame_bytes
        self._silence = Silence(idle_timeout_s, now)
        self._now = now

    # acting

    def start(self, *, sasl: SaslInit | None = None) -> None:
        """A client's first word. With `sasl`, `open` when SaslFinished has come; without, at once."""
        if self.is_server:
            raise LocalProtocolError("a server waits for its client's first word")
        self._sasl = ClientExchange(sasl) if sasl is not None else None
        self._outbox.put_bytes(SASL_HEADER if self._sasl else AMQP_HEADER)

    def answer_sasl(self, *, is_accepted: bool) -> None:
        if not isinstance(self._sasl, ServerExchange):
            raise LocalProtocolError("no SASL exchange is under way")
        self._put_sasl(self._sasl.answer(is_accepted=is_accepted))
        self._end_sasl(is_accepted=is_accepted)

    def open(self, container_id: str, *, hostname: str | None = None, properties: Map | None = None) -> None:
        self.lifecycle.local_acts(Act.OPENS)
        idle_ms = self._silence.advertised_ms
        self._outbox.put(
            0, Open(container_id, hostname, self._max_frame_bytes, CHANNEL_MAX, idle_ms, properties=properties)
        )

    def begin(self) -> Session:
        """A new session; SessionBegun comes when the peer has answered."""
        if self.lifecycle.local is not Half.OPEN:
            raise LocalProtocolError(f"the connection is {self.lifecycle.local.value}")
        channel = next((free for free in range(self._peer_channel_max + 1) if free not in self._sessions), None)
        if channel is None:
            raise LocalProtocolError(f"all {self._peer_channel_max + 1} channels are in use")
        session = self._new_session(channel)
        session.begin()
        return session

    def session(self, channel: int) -> Session:
        return self._sessions[channel]

    def close(self, error: Error | None = None) -> None:
        self.lifecycle.local_acts(Act.CLOSES)
        self._outbox.put(0, Close(error))

    def give_up(self) -> tuple[LinkDetached, ...]:
        """The transport is lost: the links that were on it."""
        self._phase = Phase.OVER
        return tuple(detached for session in self._sessions.values() for detached in session.give_up_links(None))

    @property
    def is_over(self) -> bool:
        """Nothing more will be heard; what `data_to_send` still holds is the last."""
        return self._phase is Phase.OVER

    def data_to_send(self) -> bytes:
        """What has gathered since the last time, maybe nothing."""
        if not self._outbox:
            return b""
        self._silence.said_at = self._now
        return self._outbox.take()

    # time

    def next_deadline(self) -> float | None:
        """When `advance` is due if nothing comes or goes before."""
        return None if self._phase is Phase.OVER else self._silence.next_deadline()

    def advance(self, now: float) -> None:
        """A heartbeat when the peer wants one; a peer silent for too long is told and given up."""
        self._now = now
        if self._phase is Phase.OVER:
            return
        if self._silence.is_too_long(now):
            error = Error(errors.RESOURCE_LIMIT_EXCEEDED, f"nothing came for {self._silence.limit_s:g} s")
            self._say_close(error)
            self._events.append(ConnectionClosed(error))
        elif self._silence.wants_beat(now):
            self._outbox.put_bytes(HEARTBEAT)

    # hearing

    def receive_data(self, data: bytes, now: float) -> None:
        self._now = self._silence.heard_at = now
        if self._phase is not Phase.OVER:
            self._reading.feed(data)

    def next_event(self) -> Event | None:
        """None: more bytes are needed, or the connection is over."""
        try:
            while not self._events:
                if not self._hear_next():
                    return None
        except RemoteProtocolError as error:
            self._say_close(Error(error.condition, error.description))
            raise
        return self._events.popleft()

    def _hear_next(self) -> bool:
        if self._phase is Phase.OVER:
            return False
        if self._phase is Phase.HEADER:
            header = self._reading.take_header()
            if header is None:
                return False
            self._hear_header(header)
            return True
        frame = self._reading.take_frame()
        if frame is None:
            return False
        if self._phase is Phase.SASL:
            self._hear_sasl(frame)
        else:
            self._hear_frame(frame)
        return True

    def _hear_header(self, header: bytes) -> None:
        if header == AMQP_HEADER:
            if self.is_server:
                self._outbox.put_bytes(AMQP_HEADER)
            self._phase = Phase.AMQP
            self._reading.max_frame_bytes = self._max_frame_bytes
        elif header == SASL_HEADER and self._sasl is not None:
            self._phase = Phase.SASL
            if isinstance(self._sasl, ServerExchange):
                self._outbox.put_bytes(SASL_HEADER)
                self._put_sasl(self._sasl.offer)
        else:
            if self.is_server:
                self._outbox.put_bytes(SASL_HEADER if self._sasl else AMQP_HEADER)
            self._phase = Phase.OVER
            raise RemoteProtocolError(errors.FRAMING_ERROR, "the bytes that came are no header of AMQP 1.0")

    def _hear_sasl(self, frame: Frame) -> None:
        if frame.type != SASL_TYPE or self._sasl is None:
            raise RemoteProtocolError(errors.FRAMING_ERROR, "only SASL frames are allowed before the outcome")
        step = self._sasl.hear(decode_sasl(frame.body))
        if step.reply is not None:
            self._put_sasl(step.reply)
        if isinstance(step.reply, SaslOutcome):
            raise RemoteProtocolError(errors.UNAUTHORIZED, "the SASL mechanism was not among those offered")
        if isinstance(step.event, SaslFinished):
            self._end_sasl(is_accepted=step.event.is_accepted)
        if step.event is not None:
            self._events.append(step.event)

    def _put_sasl(self, performative: SaslPerformative) -> None:
        self._outbox.put_bytes(encode_frame(0, encode_sasl(performative), frame_type=SASL_TYPE))

    def _end_sasl(self, *, is_accepted: bool) -> None:
        """AMQP's own header comes next; the client's comes first."""
        self._phase = Phase.HEADER if is_accepted else Phase.OVER
        self._sasl = None
        if is_accepted and not self.is_server:
            self._outbox.put_bytes(AMQP_HEADER)

    def _hear_frame(self, frame: Frame) -> None:
        if frame.type != AMQP_TYPE:
            raise RemoteProtocolError(errors.FRAMING_ERROR, f"frame type {frame.type} is not AMQP's")
        if not frame.body:
            return
        performative, payload_at = decode_performative(frame.body)
        if isinstance(performative, Open):
            self._hear_open(performative)
        elif isinstance(performative, Close):
            self._hear_close(performative)
        elif self.lifecycle.remote is not Half.OPEN:
            raise RemoteProtocolError(errors.ILLEGAL_STATE, f"{type(performative).__name__} came before open")
        elif self.lifecycle.local is not Half.CLOSED:
            self._hear_on_channel(frame.channel, performative, frame.body[payload_at:])

    def _hear_open(self, peer: Open) -> None:
        self.lifecycle.remote_acts(Act.OPENS)
        if peer.max_frame_size < MIN_MAX_FRAME_BYTES:
            raise RemoteProtocolError(
                errors.INVALID_FIELD, f"max-frame-size is at least {MIN_MAX_FRAME_BYTES}, not {peer.max_frame_size}"
            )
        self._outbox.peer_max_frame_bytes = min(peer.max_frame_size, self._max_frame_bytes)
        self._peer_channel_max = min(peer.channel_max, CHANNEL_MAX)
        if peer.idle_time_out:
            self._silence.hear_limit(peer.idle_time_out)
        self._events.append(ConnectionOpened(peer))

    def _hear_close(self, close: Close) -> None:
        self.lifecycle.remote_acts(Act.CLOSES)
        self._say_close(None)
        self._events.append(ConnectionClosed(close.error))

    def _say_close(self, error: Error | None) -> None:
        """As far as the peer can still hear it, and the end of it all."""
        if self._phase is Phase.AMQP and self.lifecycle.local is not Half.CLOSED:
            if self.lifecycle.local is Half.NEW:
                self.open("")
            self.close(error)
        self._phase = Phase.OVER

    def _hear_on_channel(self, channel: int, performative: Performative, payload: bytes) -> None:
        if isinstance(performative, Begin):
            self._hear_begin(channel, performative)
            return
        session = self._by_peer_channel.get(channel)
        if session is None:
            raise RemoteProtocolError(errors.NOT_ALLOWED, f"no session has begun on channel {channel}")
        if isinstance(performative, End):
            ended = session.hear_end(performative)
            del self._by_peer_channel[channel]
            del self._sessions[session.channel]
            if ended is not None:
                self._events.append(ended)
            return
        try:
            self._events.extend(session.hear(performative, payload))
        except RemoteProtocolError as fault:
            self._events.append(session.fail(Error(fault.condition, fault.description)))

    def _hear_begin(self, channel: int, begin: Begin) -> None:
        if channel > CHANNEL_MAX:
            raise RemoteProtocolError(errors.FRAMING_ERROR, f"channels go up to {CHANNEL_MAX}")
        if channel in self._by_peer_channel:
            raise RemoteProtocolError(errors.NOT_ALLOWED, f"a session has begun on channel {channel} already")
        if begin.remote_channel is None:
            session = self._new_session(channel)
        else:
            asked = self._sessions.get(begin.remote_channel)
            if asked is None:
                raise RemoteProtocolError(errors.NOT_ALLOWED, f"no session was begun on channel {begin.remote_channel}")
            session = asked
        session.hear_begin(begin, channel)
        self._by_peer_channel[channel] = session
        self._events.append(SessionBegun(session.channel))

    def _new_session(self, channel: int) -> Session:
        if channel in self._sessions:
            channel = next(free for free in range(len(self._sessions) + 1) if free not in self._sessions)
        session = Session(channel, self._outbox, handle_max=HANDLE_MAX)
        self._sessions[channel] = session
        return session
