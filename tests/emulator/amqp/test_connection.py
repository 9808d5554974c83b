"""Greetings, SASL, opening, closing, silence: transcripts of what a server hears (hears) and answers (says)."""

import pytest
from emulator.amqp.script import Script

from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.errors import LocalProtocolError, RemoteProtocolError
from worker.emulator.amqp.events import (
    ConnectionClosed,
    ConnectionOpened,
    SaslFinished,
    SaslRequested,
    SessionBegun,
    SessionEnded,
)
from worker.emulator.amqp.frames import AMQP_HEADER, HEARTBEAT, SASL_HEADER, encode_frame
from worker.emulator.amqp.performative_codec import encode_performative, encode_sasl
from worker.emulator.amqp.performatives import (
    Begin,
    Close,
    End,
    Error,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslPerformative,
)


def sasl(performative: SaslPerformative) -> bytes:
    return encode_frame(0, encode_sasl(performative), frame_type=1)


def test_sasl_then_amqp_then_open(script: Script) -> None:
    assert script.hears_bytes(SASL_HEADER) == []
    assert script.says_bytes() == SASL_HEADER + sasl(SaslMechanisms(("ANONYMOUS",)))

    assert script.hears_bytes(sasl(SaslInit("ANONYMOUS", b"who"))) == [SaslRequested("ANONYMOUS", b"who")]
    script.engine.answer_sasl(is_accepted=True)
    assert script.says_bytes() == sasl(SaslOutcome(0))

    assert script.hears_bytes(AMQP_HEADER) == []
    assert script.says_bytes() == AMQP_HEADER
    (opened,) = script.hears(Open("peer", "host"))
    assert opened == ConnectionOpened(Open("peer", "host"))
    script.engine.open("server")
    (said,) = script.says()
    assert said.container_id == "server"
    assert said.idle_time_out == 240_000


def test_mechanisms_go_out_as_the_specification_has_them(script: Script) -> None:
    script.hears_bytes(SASL_HEADER)
    assert script.says_bytes()[8:] == bytes.fromhex("0000001c 02010000 00 53 40 c0 0f 01 e0 0c 01 a3 09") + b"ANONYMOUS"


def test_amqp_without_sasl_is_taken(script: Script) -> None:
    script.hears_bytes(AMQP_HEADER)
    assert script.says_bytes() == AMQP_HEADER


def test_an_open_by_hand_is_understood(script: Script) -> None:
    script.hears_bytes(AMQP_HEADER)
    frame = bytes.fromhex("00000017 02000000 005310 c00a 03 a10163 40 7000000400")
    (opened,) = script.hears_bytes(frame)
    assert opened == ConnectionOpened(Open("c", None, 1024))


def test_the_same_bytes_one_by_one_make_the_same_events(script: Script) -> None:
    events = []
    for byte in SASL_HEADER + sasl(SaslInit("ANONYMOUS", b"")):
        events += script.hears_bytes(bytes((byte,)))
    assert events == [SaslRequested("ANONYMOUS", b"")]


def test_a_mechanism_that_was_not_offered_is_refused(script: Script) -> None:
    script.hears_bytes(SASL_HEADER)
    with pytest.raises(RemoteProtocolError, match="mechanism"):
        script.hears_bytes(sasl(SaslInit("EXTERNAL")))
    assert script.says_bytes().endswith(sasl(SaslOutcome(1)))
    assert script.engine.is_over


def test_refused_sasl_ends_the_connection(script: Script) -> None:
    script.hears_bytes(SASL_HEADER + sasl(SaslInit("ANONYMOUS")))
    script.engine.answer_sasl(is_accepted=False)
    assert script.says_bytes().endswith(sasl(SaslOutcome(1)))
    assert script.hears_bytes(AMQP_HEADER) == []
    assert script.engine.is_over


def test_a_client_is_told_when_sasl_refused_it() -> None:
    client = Connection(is_server=False, now=0.0)
    client.start(sasl=SaslInit("PLAIN", b"\0me\0secret"))
    client.receive_data(SASL_HEADER + sasl(SaslMechanisms(("PLAIN",))) + sasl(SaslOutcome(1)), 0.0)
    assert client.next_event() == SaslFinished(is_accepted=False)
    assert client.next_event() is None
    assert client.is_over


@pytest.mark.parametrize("greeting", [b"GET / HT", b"AMQP\x01\x01\0\0", b"AMQP\0\0\x09\x01"])
def test_another_protocol_is_told_the_header_that_was_expected(script: Script, greeting: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="no header"):
        script.hears_bytes(greeting)
    assert script.says_bytes() == SASL_HEADER
    assert script.engine.is_over


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ("00000007 02000000", "cannot have its body"),
        ("00000010 01000000", "cannot have its body"),
        ("00000010 05000000", "cannot have its body"),
        ("00010001 02000000", "at most 65536"),
        ("00000008 02020000", "frame type 2"),
    ],
)
def test_a_malformed_frame_head_closes_with_a_framing_error(script: Script, head: str, complaint: str) -> None:
    script.opened()
    with pytest.raises(RemoteProtocolError, match=complaint):
        script.hears_bytes(bytes.fromhex(head))
    (said,) = script.says()
    assert isinstance(said, Close)
    assert said.error is not None
    assert said.error.condition == "amqp:connection:framing-error"


def test_before_open_frames_are_small(script: Script) -> None:
    script.hears_bytes(SASL_HEADER)
    with pytest.raises(RemoteProtocolError, match="at most 512"):
        script.hears_bytes(bytes.fromhex("00000201 02010000"))


def test_a_malformed_performative_closes_with_a_decode_error(script: Script) -> None:
    script.opened()
    with pytest.raises(RemoteProtocolError):
        script.hears_bytes(encode_frame(0, bytes.fromhex("00 53 13 c0 03 01 a1 00")))
    (said,) = script.says()
    assert said.error.condition == "amqp:decode-error"


def test_a_fault_before_this_end_opened_is_answered_with_open_and_close(script: Script) -> None:
    script.hears_bytes(AMQP_HEADER)
    script.says_bytes()
    with pytest.raises(RemoteProtocolError, match="before open"):
        script.hears(Begin(None, 0, 1, 1))
    assert [type(said) for said in script.says()] == [Open, Close]


def test_a_second_open_is_illegal(script: Script) -> None:
    script.opened()
    with pytest.raises(RemoteProtocolError, match="cannot be opened by its peer"):
        script.hears(Open("again"))


def test_a_close_is_answered_and_ends_it(script: Script) -> None:
    script.opened()
    error = Error("amqp:connection:forced", "bye")
    assert script.hears(Close(error)) == [ConnectionClosed(error)]
    assert script.says() == [Close()]
    assert script.hears(Open("late")) == []


def test_an_answered_close_is_not_answered_again(script: Script) -> None:
    script.opened()
    script.engine.close(Error("amqp:connection:forced", "bye"))
    assert [type(said) for said in script.says()] == [Close]
    assert script.hears(Begin(None, 0, 1, 1), channel=9) == []
    assert script.hears(Close()) == [ConnectionClosed(None)]
    assert script.says() == []


def test_closing_twice_is_this_ends_own_error(script: Script) -> None:
    script.opened()
    script.engine.close()
    with pytest.raises(LocalProtocolError, match="cannot be closed here"):
        script.engine.close()


def test_a_frame_on_a_channel_without_session_is_not_allowed(script: Script) -> None:
    script.opened()
    with pytest.raises(RemoteProtocolError, match="channel 3"):
        script.hears(End(), channel=3)


def test_channels_have_a_bound(script: Script) -> None:
    script.opened()
    with pytest.raises(RemoteProtocolError, match="up to 4999"):
        script.hears(Begin(None, 0, 1, 1), channel=5000)


def test_a_session_begins_and_ends_and_its_channel_is_free_again(script: Script) -> None:
    script.opened()
    assert script.hears(Begin(None, 7, 10, 10), channel=5) == [SessionBegun(5)]
    script.engine.session(5).begin()
    (begun,) = script.says()
    assert begun.remote_channel == 5
    assert script.hears(End(), channel=5) == [SessionEnded(5, None, ())]
    assert script.says() == [End()]
    assert script.hears(Begin(None, 7, 10, 10), channel=5) == [SessionBegun(5)]


def test_a_peer_that_wants_heartbeats_gets_them_at_half_its_time_out(script: Script) -> None:
    script.opened(idle_time_out=30_000)
    assert script.engine.next_deadline() == 15.0
    script.engine.advance(14.9)
    assert script.says_bytes() == b""
    script.engine.advance(15.0)
    assert script.says_bytes() == HEARTBEAT
    assert script.engine.next_deadline() == 30.0


def test_heartbeats_are_heard_and_mean_nothing(script: Script) -> None:
    script.opened()
    assert script.hears_bytes(HEARTBEAT * 3) == []


def test_a_peer_silent_for_too_long_is_told_and_given_up(script: Script) -> None:
    script.opened()
    script.now = 100.0
    script.hears_bytes(HEARTBEAT)
    assert script.engine.next_deadline() == 580.0
    script.engine.advance(579.0)
    assert script.says() == []
    script.engine.advance(580.0)
    (said,) = script.says()
    assert said.error.condition == "amqp:resource-limit-exceeded"
    assert script.engine.next_event() == ConnectionClosed(said.error)
    assert script.engine.is_over
    assert script.engine.next_deadline() is None


def test_a_field_out_of_range_is_this_ends_own_error() -> None:
    with pytest.raises(LocalProtocolError):
        encode_performative(Begin(70_000, 0, 1, 1))
