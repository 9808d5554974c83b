"""Whatever a peer sends, the engine answers with events or with a protocol error: nothing else, at no great cost."""

import tracemalloc

import pytest
from emulator.amqp.script import Script
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.emulator.amqp.errors import RemoteProtocolError
from worker.emulator.amqp.events import LinkAttached, SaslRequested, SessionBegun
from worker.emulator.amqp.frames import AMQP_HEADER, SASL_HEADER, encode_frame
from worker.emulator.amqp.performative_codec import encode_performative, encode_sasl
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    SaslInit,
    Source,
    Target,
    Transfer,
)


def on(channel: int, performative: Performative, payload: bytes = b"") -> bytes:
    return encode_frame(channel, encode_performative(performative) + payload)


CONVERSATION = (
    SASL_HEADER,
    encode_frame(0, encode_sasl(SaslInit("ANONYMOUS", b"", "host")), frame_type=1),
    AMQP_HEADER,
    on(0, Open("peer", "host", 65_536, 10, 60_000)),
    on(1, Begin(None, 0, 5000, 5000)),
    on(1, Attach("out", 0, SENDER, source=Source("x"), target=Target("q"), initial_delivery_count=0)),
    on(1, Attach("in", 1, RECEIVER, source=Source("q", filter={"f": "s"}), target=Target("x"), properties={"p": 1})),
    on(1, Flow(0, 5000, 0, 5000, 1, 0, 10)),
    on(1, Transfer(0, 0, b"tag", 0, more=True), b"one"),
    on(1, Transfer(0), b"two"),
    on(1, Disposition(RECEIVER, 0, 3, settled=True, state=Accepted())),
    on(1, Flow(0, 5000, 0, 5000, 1, 0, 10, drain=True, echo=True)),
    on(1, Detach(0, closed=True)),
    on(1, End()),
    on(0, Close()),
)


def converse(data: bytes) -> None:
    """A server that takes everything it is asked for."""
    script = Script()
    script.engine.receive_data(data, 0.0)
    try:
        while (event := script.engine.next_event()) is not None:
            match event:
                case SaslRequested():
                    script.engine.answer_sasl(is_accepted=True)
                case SessionBegun():
                    script.engine.open("server")
                    script.engine.session(event.channel).begin()
                case LinkAttached():
                    session = script.engine.session(event.link.channel)
                    session.accept(event.link, source=Source("x"), target=None, max_message_bytes=1000)
                    if event.link.is_receiver:
                        session.grant_credit(event.link, 10)
                case _:
                    pass
    finally:
        script.engine.data_to_send()


def outcome(data: bytes) -> str:
    try:
        converse(data)
    except RemoteProtocolError as error:
        return error.condition
    return "events"


def test_the_conversation_as_it_is_brings_no_error() -> None:
    assert outcome(b"".join(CONVERSATION)) == "events"


@given(st.data())
@settings(max_examples=300)
def test_a_conversation_with_bytes_changed_brings_events_or_a_protocol_error(data: st.DataObject) -> None:
    frames = list(CONVERSATION)
    at = data.draw(st.integers(2, len(frames) - 1))
    frame = bytearray(frames[at])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frames[at] = bytes(frame)
    assert outcome(b"".join(frames)).startswith(("events", "amqp:"))


@given(st.lists(st.sampled_from(range(3, len(CONVERSATION))), max_size=20))
@settings(max_examples=200)
def test_frames_in_any_order_bring_events_or_a_protocol_error(order: list[int]) -> None:
    assert outcome(AMQP_HEADER + b"".join(CONVERSATION[at] for at in order)).startswith(("events", "amqp:"))


@given(st.binary(max_size=300), st.integers(0, 6))
@settings(max_examples=200)
def test_random_bytes_at_any_stage_bring_events_or_a_protocol_error(noise: bytes, stage: int) -> None:
    assert outcome(b"".join(CONVERSATION[:stage]) + noise).startswith(("events", "amqp:"))


@given(st.binary(max_size=60), st.sampled_from([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]))
@settings(max_examples=300)
def test_random_fields_of_each_performative_bring_events_or_a_protocol_error(noise: bytes, code: int) -> None:
    fields = bytes((0x00, 0x53, code, 0xC0, len(noise) + 1, min(len(noise), 14))) + noise
    assert outcome(b"".join(CONVERSATION[:8]) + encode_frame(1, fields)).startswith(("events", "amqp:"))


@pytest.mark.parametrize(
    "bomb",
    [
        bytes.fromhex("f0 00 00 00 06 ff ff ff ff 40"),
        bytes.fromhex("d0 00 00 00 04 ff ff ff ff"),
        bytes.fromhex("b0 ff ff ff ff"),
        b"\xc0\xff\xff" * 15_000,
        b"\x00" * 60_000,
        b"\xe0\xfd\x01" * 15_000,
    ],
)
def test_a_frame_never_costs_more_memory_than_a_few_of_its_size(bomb: bytes) -> None:
    attach = bytes.fromhex("00 53 12 d0") + (len(bomb) + 4 + 9).to_bytes(4, "big") + bytes.fromhex("00 00 00 0e")
    body = attach + bytes.fromhex("a1 01 61 52 05 42 40 40 40 40") + bomb
    tracemalloc.start()
    assert outcome(b"".join(CONVERSATION[2:5]) + encode_frame(1, body)) == "amqp:decode-error"
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000
