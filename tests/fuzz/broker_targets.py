"""The embedded broker above AMQP: addresses, filters, management, tokens."""

from typing import Final

from emulator.amqp.test_codec_properties import scalars
from hypothesis import strategies as st

from fuzz.messages import APPLICATION, PROPERTIES, VALUE, encoded, messages
from fuzz.target import Target, assert_fit_to_say
from worker.emulator.amqp.encode import encode
from worker.emulator.amqp.errors import DecodeError
from worker.emulator.broker import (
    Broker,
    Message,
    NamedSession,
    QueueProperties,
    ReceiveMode,
    RuleProperties,
    SubscriptionProperties,
    TopicProperties,
    Topology,
)
from worker.emulator.broker.errors import InvalidFilterError
from worker.emulator.broker.sql import parse_sql
from worker.emulator.server import management
from worker.emulator.server.addresses import Node, parse_address
from worker.emulator.server.auth import Admission, SasKey
from worker.emulator.server.cbs import put_token
from worker.emulator.server.floor import Floor
from worker.emulator.server.messages import encode_message
from worker.emulator.server.requests import CBS_STATUS, MANAGEMENT_STATUS, _encode_response, read_request

TOPOLOGY: Final = Topology(
    queues=(
        QueueProperties(name="q", max_message_bytes=4096),
        QueueProperties(name="by-session", requires_session=True, duplicate_window_s=60.0),
    ),
    topics=(
        TopicProperties(
            name="t",
            subscriptions=(
                SubscriptionProperties(
                    name="s", rules=(RuleProperties(name="r", filter=parse_sql("colour = 'red' AND sys.Label <> 'x'")),)
                ),
            ),
        ),
    ),
)
KEY: Final = SasKey(name="fuzz", key="bm90LWEtc2VjcmV0LWtleQ")
_FAR_S: Final = 1e10
MESSAGE: Final = Message(payload=b"", message_id="m", subject="x", application_properties={"colour": "red", "n": 3})


def fresh_floor() -> Floor:
    return Floor(Broker(TOPOLOGY, lock_token_salt=1), keeps_history=True)


def _address(data: bytes) -> None:
    address = parse_address(data.decode(errors="replace"))
    assert address.node is not Node.CBS or not address.entity
    if address.node is Node.ENTITY:
        assert parse_address(address.path) == address or "://" in address.path


def _sql(data: bytes) -> None:
    try:
        accepted = parse_sql(data.decode(errors="replace"))
    except InvalidFilterError as error:
        assert_fit_to_say(str(error))
        return
    assert accepted.comparisons
    assert accepted.matches(MESSAGE) in {True, False}


def _management(data: bytes) -> None:
    """The first message of `q`, and of session `a`, is locked; their tokens are the numbers 2^64 + 1 and + 2."""
    floor = fresh_floor()
    now = floor.now()
    floor.broker.send("q", [MESSAGE] * 3, now)
    floor.broker.send("by-session", [Message(payload=b"", session_id="a")], now)
    for entity, session in (("q", None), ("by-session", NamedSession(session_id="a"))):
        consumer = floor.broker.open_consumer(entity, mode=ReceiveMode.PEEK_LOCK, session=session, now=now)
        floor.broker.set_credit(consumer, 1, now)
    try:
        request = read_request(data)
    except DecodeError as error:
        assert_fit_to_say(str(error))
        return
    for entity in ("q", "by-session", "t", "t/Subscriptions/s", "q/$DeadLetterQueue"):
        answer = management.answer(floor, entity, request.properties.get("operation"), request.body)
        assert_fit_to_say(answer.description)
        read_request(_encode_response(MANAGEMENT_STATUS, request, answer))
    see_to_all(floor)


def _put_token(data: bytes) -> None:
    try:
        request = read_request(data)
    except DecodeError as error:
        assert_fit_to_say(str(error))
        return
    admission = Admission(KEY)
    answer = put_token(admission, request, now=1_700_000_000.0)
    token = str(request.body)
    assert answer.status in {202, 401, 501}
    assert KEY.key not in answer.description
    assert len(token) < 12 or token not in answer.description
    assert_fit_to_say(answer.description)
    read_request(_encode_response(CBS_STATUS, request, answer))
    assert answer.status == 202 or not admission.allows("q", 1_700_000_000.0)


def see_to_all(floor: Floor) -> None:
    """Everything comes due, and everything that is there can be shown."""
    floor.broker.advance(floor.now() + _FAR_S)
    for facts in floor.broker.entities():
        for message in floor.messages(facts.path):
            encode_message(message)


def request(operation: str, body: object, **properties: object) -> bytes:
    return encoded(
        (PROPERTIES, ["id", None, None, None, "me"]),
        (APPLICATION, {"operation": operation, **properties}),
        (VALUE, body),
    )


_OPERATIONS: Final = tuple(f"com.microsoft:{name}" for name in management._OPERATIONS)
_FIELDS: Final = (
    "lock-tokens",
    "session-id",
    "from-sequence-number",
    "message-count",
    "sequence-numbers",
    "receiver-settle-mode",
    "disposition-status",
    "deadletter-reason",
    "properties-to-modify",
    "messages",
    "session-state",
    "last-updated-time",
    "skip",
    "top",
)
_VALUES_OF_FIELDS: Final = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.integers(-3, 10),
    st.sampled_from(("a", "completed", "abandoned", "defered", "suspended")),
    st.lists(st.fixed_dictionaries({"message": messages}), max_size=2),
    st.dictionaries(st.text(max_size=5), scalars, max_size=3),
)
_WORDS: Final = (
    "colour",
    "=",
    "<>",
    "!=",
    "'red'",
    "AND",
    "IS",
    "NOT",
    "NULL",
    "sys.Label",
    "user.n",
    "3",
    "-1.5e3",
    "TRUE",
)
_ADDRESSES: Final = (
    "q",
    "$cbs",
    "q/$management",
    "amqps://h/q",
    "sb://h:1/",
    "t/Subscriptions/s",
    "/$DeadLetterQueue",
    "[",
    "%2f",
)

BROKER_TARGETS: Final = (
    Target(
        name="broker-address",
        check=_address,
        made=st.lists(st.sampled_from(_ADDRESSES), max_size=4).map(lambda parts: "".join(parts).encode()),
        covers=("emulator/server/addresses",),
        tokens=tuple(part.encode() for part in _ADDRESSES),
    ),
    Target(
        name="sql",
        check=_sql,
        made=st.lists(st.sampled_from(_WORDS), max_size=9).map(lambda words: " ".join(words).encode()),
        covers=("emulator/broker/sql", "emulator/broker/filters"),
        tokens=tuple(f" {word} ".encode() for word in (*_WORDS, "\u0663", "9" * 5000, "'")),
    ),
    Target(
        name="management",
        check=_management,
        made=st.builds(
            request,
            st.sampled_from(_OPERATIONS),
            st.dictionaries(st.sampled_from(_FIELDS), _VALUES_OF_FIELDS, max_size=4),
        ),
        covers=("emulator/server", "emulator/broker"),
        tokens=tuple(encode(name) for name in (*_OPERATIONS, *_FIELDS)),
    ),
    Target(
        name="put-token",
        check=_put_token,
        made=st.builds(
            lambda operation, name, token: request(operation, token, name=name),
            st.sampled_from(("put-token", "")),
            st.sampled_from(("q", "amqps://h/q", "")) | scalars,
            st.sampled_from(("SharedAccessSignature sr=q&sig=x&se=2000000000&skn=fuzz", "ey.ey.x")) | scalars,
        ),
        covers=("emulator/server/auth", "emulator/server/cbs", "emulator/server/requests"),
        tokens=(b"SharedAccessSignature ", b"sr=", b"&sig=", b"&se=", b"&skn=", b"%", b"\xd9\xa3"),
    ),
)
