"""The broker's AMQP: values, performatives, messages, and both ends of a connection."""

from typing import Final

from emulator.amqp.script import Pair, greet
from emulator.amqp.test_codec_properties import values
from emulator.amqp.test_fuzz import CONVERSATION
from hypothesis import strategies as st

from fuzz.messages import messages
from fuzz.target import Target, assert_fit_to_say
from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.decode import CONSTRUCTORS, decode, skip
from worker.emulator.amqp.encode import encode
from worker.emulator.amqp.errors import DecodeError, RemoteProtocolError
from worker.emulator.amqp.events import Event, LinkAttached, SessionBegun
from worker.emulator.amqp.frames import AMQP_HEADER, SASL_HEADER
from worker.emulator.amqp.lifecycle import Half
from worker.emulator.amqp.message import PROPERTIES, Properties, encode_properties, read_sections, replace_section
from worker.emulator.amqp.performative_codec import (
    decode_performative,
    decode_sasl,
    encode_performative,
    encode_sasl,
)
from worker.emulator.amqp.performatives import SaslInit, Source
from worker.emulator.amqp.performatives import Target as Terminus
from worker.emulator.broker import Broker, QueueProperties, Topology
from worker.emulator.server.messages import BATCH_FORMAT, encode_message, read_messages

_CONSTRUCTORS: Final = tuple(bytes((code,)) for code in CONSTRUCTORS)
_DESCRIPTORS: Final = tuple(
    bytes((0x00, 0x53, code)) for code in (*range(0x10, 0x19), *range(0x23, 0x31), *range(0x70, 0x79))
)


def _value(data: bytes) -> None:
    try:
        value, end = decode(data)
    except DecodeError as error:
        assert_fit_to_say(str(error))
        return
    assert 0 < end <= len(data)
    assert skip(data, 0) == end
    again = encode(value)
    assert encode(decode(again)[0]) == again


def _performative(data: bytes) -> None:
    try:
        performative, _ = decode_performative(data)
        again = encode_performative(performative)
        assert encode_performative(decode_performative(again)[0]) == again
    except DecodeError as error:
        assert_fit_to_say(str(error))
    try:
        sasl = decode_sasl(data)
        assert encode_sasl(decode_sasl(encode_sasl(sasl))) == encode_sasl(sasl)
    except DecodeError as error:
        assert_fit_to_say(str(error))


def _message(data: bytes) -> None:
    """What the broker takes, it can hand out: as it came, with an id, and as a dead letter."""
    for message_format in (0, BATCH_FORMAT):
        try:
            taken = read_messages(data, message_format)
        except DecodeError as error:
            assert_fit_to_say(str(error))
            continue
        for message in taken:
            broker = Broker(
                Topology(queues=(QueueProperties(name="q", default_ttl_s=1.0, dead_letters_on_expiry=True),)),
                lock_token_salt=1,
            )
            scheduled = message.scheduled_for is not None and message.scheduled_for > 0.0
            broker.send("q", [message], 0.0)
            if scheduled:
                continue
            for found in broker.messages("q"):
                read_sections(encode_message(found))
            broker.advance(10.0)
            for found in broker.messages("q/$DeadLetterQueue"):
                read_sections(encode_message(found))
    try:
        bare = read_sections(data).bare
        renamed = replace_section(bare, PROPERTIES, encode_properties(Properties(message_id="other")))
        assert read_sections(renamed).properties.message_id == "other"
    except DecodeError as error:
        assert_fit_to_say(str(error))


def _answer(engine: Connection, event: Event) -> None:
    """Takes all that it is asked for."""
    greet(engine, event)
    match event:
        case LinkAttached(link):
            session = engine.session(link.channel)
            if link.lifecycle.local is Half.NEW:
                session.accept(link, source=Source("x"), target=Terminus("y"), max_message_bytes=1000)
            if link.is_receiver:
                session.grant_credit(link, 10)
        case SessionBegun(channel) if not engine.is_server:
            session = engine.session(channel)
            if session.lifecycle.local is Half.NEW:
                session.begin()
            session.attach("in", role=True, source=Source("q"), target=None)


def _heard(data: bytes, *, is_server: bool, piece: int) -> tuple[list[str], str]:
    """Events, and how it ended, of what came in pieces of this size."""
    engine = Connection(is_server=is_server, now=0.0, mechanisms=("ANONYMOUS",) if is_server else ())
    if not is_server:
        engine.start(sasl=SaslInit("ANONYMOUS", b"", "host"))
    events = []
    try:
        for at in range(0, len(data), piece):
            engine.receive_data(data[at : at + piece], 0.0)
            while (event := engine.next_event()) is not None:
                events.append(type(event).__name__)
                _answer(engine, event)
    except RemoteProtocolError as error:
        assert_fit_to_say(str(error))
        assert engine.is_over
        return events, str(error)
    finally:
        engine.data_to_send()
    return events, "heard"


def _connection(data: bytes) -> None:
    """The same, however the network cuts it."""
    for is_server in (True, False):
        whole = _heard(data, is_server=is_server, piece=max(1, len(data)))
        assert _heard(data, is_server=is_server, piece=7) == whole


def _said_by_a_server() -> bytes:
    """What a client hears when all goes well."""
    pair = Pair(Connection(is_server=False, now=0.0), Connection(is_server=True, now=0.0, mechanisms=("ANONYMOUS",)))
    pair.client.start(sasl=SaslInit("ANONYMOUS", b"", None))
    said = b""
    while data := pair.client.data_to_send():
        pair.server.receive_data(data, 0.0)
        while (event := pair.server.next_event()) is not None:
            _answer(pair.server, event)
        answer = pair.server.data_to_send()
        said += answer
        pair.client.receive_data(answer, 0.0)
        while (event := pair.client.next_event()) is not None:
            _answer(pair.client, event)
    return said


SERVER_SAID: Final = _said_by_a_server()

AMQP_TARGETS: Final = (
    Target(
        name="amqp-value",
        check=_value,
        made=values.map(encode),
        covers=("emulator/amqp/decode", "emulator/amqp/encode"),
        tokens=_CONSTRUCTORS,
    ),
    Target(
        name="amqp-performative",
        check=_performative,
        made=st.builds(
            lambda head, value: head + value, st.sampled_from(_DESCRIPTORS), st.lists(values, max_size=14).map(encode)
        ),
        covers=("emulator/amqp",),
        tokens=_CONSTRUCTORS + _DESCRIPTORS,
    ),
    Target(
        name="amqp-message",
        check=_message,
        made=messages,
        covers=("emulator/amqp", "emulator/server/messages"),
        tokens=_CONSTRUCTORS + _DESCRIPTORS,
    ),
    Target(
        name="amqp-connection",
        check=_connection,
        made=st.lists(st.sampled_from(CONVERSATION), max_size=20).map(b"".join) | st.just(SERVER_SAID),
        covers=("emulator/amqp",),
        tokens=(*CONVERSATION, *_CONSTRUCTORS, *_DESCRIPTORS, AMQP_HEADER, SASL_HEADER),
    ),
)
