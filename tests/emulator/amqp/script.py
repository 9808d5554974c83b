"""A peer made of frames: what the engine under test hears is written out, what it says is read back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.events import (
    ConnectionOpened,
    Event,
    LinkAttached,
    SaslFinished,
    SaslRequested,
    SessionBegun,
)
from worker.emulator.amqp.frames import AMQP_HEADER, Frame, ReadBuffer, encode_frame
from worker.emulator.amqp.link import Link
from worker.emulator.amqp.performative_codec import decode_performative, encode_performative
from worker.emulator.amqp.performatives import (
    SENDER,
    Attach,
    Begin,
    Open,
    Performative,
    Source,
    Target,
)
from worker.emulator.amqp.session import Session


@dataclass
class Script:
    """A server's engine with a peer that speaks frame by frame. A transcript's author knows what comes: hence `Any`."""

    engine: Connection = field(default_factory=lambda: Connection(is_server=True, now=0.0, mechanisms=("ANONYMOUS",)))
    reading: ReadBuffer = field(default_factory=lambda: ReadBuffer(1_000_000))
    now: float = 0.0

    def hears_bytes(self, data: bytes) -> list[Any]:
        self.engine.receive_data(data, self.now)
        heard = []
        while (event := self.engine.next_event()) is not None:
            heard.append(event)
        return heard

    def hears(self, *performatives: Performative, channel: int = 0, payload: bytes = b"") -> list[Any]:
        frames = (encode_frame(channel, encode_performative(each) + payload) for each in performatives)
        return self.hears_bytes(b"".join(frames))

    def says_bytes(self) -> bytes:
        return self.engine.data_to_send()

    def says(self) -> list[Any]:
        return [performative for performative, _ in self.says_with_payload()]

    def says_with_payload(self) -> list[tuple[Any, bytes]]:
        self.reading.feed(self.engine.data_to_send())
        said = []
        while (frame := self.reading.take_frame()) is not None:
            said.append(_read(frame))
        return said

    def opened(self, **options: Any) -> "Script":
        """Past the greetings, with a session begun on channel 0."""
        self.hears_bytes(AMQP_HEADER)
        self.hears(Open("peer", **options))
        self.engine.open("under-test")
        self.hears(Begin(None, 0, 100, 100))
        self.session.begin()
        self.engine.data_to_send()
        return self

    @property
    def session(self) -> Session:
        return self.engine.session(0)

    def attached(self, *, role: bool, handle: int = 0, credit: int = 0, limit: int | None = None) -> Link:
        """A link that the peer asked for and got; `role` is the peer's."""
        source, target = Source("here"), Target("there")
        first = 0 if role is SENDER else None
        attach = Attach(f"link-{handle}", handle, role, source=source, target=target, initial_delivery_count=first)
        (attached,) = self.hears(attach)
        assert isinstance(attached, LinkAttached)
        self.session.accept(attached.link, source=source, target=target, max_message_bytes=limit)
        if role is SENDER and credit:
            self.session.grant_credit(attached.link, credit)
        self.engine.data_to_send()
        return attached.link


def _read(frame: Frame) -> tuple[Performative, bytes]:
    performative, at = decode_performative(frame.body)
    return performative, frame.body[at:]


@dataclass
class Pair:
    """A client's and a server's engine, joined."""

    client: Connection
    server: Connection
    heard_by_client: list[Event] = field(default_factory=list)
    heard_by_server: list[Event] = field(default_factory=list)

    def settle(self, *, answer: Callable[[Connection, Event], None] | None = None) -> None:
        """Carry bytes both ways until both have nothing more to say."""
        is_quiet = False
        while not is_quiet:
            is_quiet = True
            for speaker, hearer, heard in (
                (self.client, self.server, self.heard_by_server),
                (self.server, self.client, self.heard_by_client),
            ):
                data = speaker.data_to_send()
                if data:
                    is_quiet = False
                    hearer.receive_data(data, 0.0)
                    while (event := hearer.next_event()) is not None:
                        heard.append(event)
                        if answer is not None:
                            answer(hearer, event)


def greet(engine: Connection, event: Event) -> None:
    match event:
        case SaslRequested():
            engine.answer_sasl(is_accepted=True)
        case SaslFinished():
            engine.open("client")
            engine.begin()
        case ConnectionOpened() if engine.is_server:
            engine.open("server")
        case SessionBegun() if engine.is_server:
            engine.session(event.channel).begin()
