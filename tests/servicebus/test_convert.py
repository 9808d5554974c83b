"""Messages are written by the emulator's codec, so nothing here agrees with the SDK by construction."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from azure.servicebus import ServiceBusReceivedMessage
from hypothesis import given
from hypothesis import strategies as st

from worker.core.delivery import Delivery
from worker.emulator.amqp import types
from worker.emulator.amqp.encode import encode
from worker.servicebus.convert import Instant, strip_unsettleable, to_delivery

HEADER, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, SEQUENCE, VALUE = 0x70, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77
NOW = Instant(loop_s=1_000.0, wall_s=1_700_000_000.0)
ENQUEUED_MS = 1_699_999_990_000  # ten seconds ago


def received(*sections: tuple[int, object]) -> ServiceBusReceivedMessage:
    return ServiceBusReceivedMessage.from_bytes(
        b"".join(encode(types.Described(types.ULong(code), body)) for code, body in sections)
    )


def delivered(*sections: tuple[int, object]) -> Delivery:
    return to_delivery(received(*sections), NOW)


def stamps(**more: object) -> tuple[int, object]:
    return ANNOTATIONS, {
        types.Symbol("x-opt-enqueued-time"): types.Timestamp(ENQUEUED_MS),
        types.Symbol("x-opt-sequence-number"): 7,
        types.Symbol("x-opt-locked-until"): types.Timestamp(ENQUEUED_MS + 40_000),
        **more,
    }


PROPERTY_ORDER = [
    "message_id",
    "user_id",
    "to",
    "subject",
    "reply_to",
    "correlation_id",
    "content_type",
    "content_encoding",
    "absolute_expiry_time",
    "creation_time",
    "group_id",
    "group_sequence",
    "reply_to_group_id",
]


def properties(**fields: object) -> tuple[int, object]:
    return PROPERTIES, [fields.get(name) for name in PROPERTY_ORDER]


def test_times_are_moved_to_the_clock_of_the_loop() -> None:
    delivery = delivered(stamps(), (DATA, b""))
    assert delivery.enqueued_at == pytest.approx(990.0)
    assert delivery.locked_until == pytest.approx(1_030.0)
    assert delivery.enqueued_time_ms == ENQUEUED_MS
    assert delivery.sequence_number == 7


def test_a_lock_lasts_no_longer_than_it_can_by_whichever_clock() -> None:
    assert to_delivery(received(stamps(), (DATA, b"")), NOW, lock_s=5.0).locked_until == NOW.loop_s + 5.0


def test_strings_are_strings_and_empty_ones_are_absent() -> None:
    delivery = delivered(
        properties(message_id="m", reply_to="", reply_to_group_id="s", content_type=types.Symbol("text/plain")),
        (DATA, b"x"),
    )
    assert (delivery.message_id, delivery.reply_to, delivery.reply_to_session_id) == ("m", None, "s")
    assert delivery.content_type == "text/plain"


@pytest.mark.parametrize(
    ("message_id", "seen"),
    [
        (types.ULong(12), "12"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (b"\xffid", "\\xffid"),
    ],
)
def test_ids_that_are_no_strings_become_strings(message_id: object, seen: str) -> None:
    assert delivered(properties(message_id=message_id), (DATA, b"")).message_id == seen


def test_header_fields_are_read() -> None:
    header = [None, None, types.UInt(90_000), None, types.UInt(3)]
    delivery = delivered((HEADER, header), (DATA, b""))
    assert (delivery.time_to_live_s, delivery.delivery_count, delivery.is_redelivered) == (90.0, 3, True)


@pytest.mark.parametrize(
    ("sections", "body"),
    [
        ([(DATA, b"one, "), (DATA, b"two")], b"one, two"),
        ([(DATA, b"")], b""),
        ([(VALUE, "häuser")], "häuser".encode()),
        ([(VALUE, b"\x00\xff")], b"\x00\xff"),
        ([(VALUE, 5)], None),
        ([(VALUE, None)], None),
        ([(SEQUENCE, ["a", "b"])], None),
    ],
)
def test_a_body_is_data_or_a_string_or_a_binary(sections: list[tuple[int, object]], body: bytes | None) -> None:
    assert delivered(*sections).body == body


def test_properties_keep_their_types_but_bytes_that_are_text_are_strings() -> None:
    token = uuid4()
    sent: dict[str, object] = {"s": "ä", "b": b"\xff\x00", "i": 2**40, "f": 1.5, "t": True, "u": token, "n": None}
    assert delivered((APPLICATION, sent), (DATA, b"")).properties == sent


scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
    st.uuids(),
    st.builds(types.Symbol, st.text("abc-:", max_size=9)),
    st.builds(types.Timestamp, st.integers(-(2**63), 2**63 - 1)),
    st.builds(types.ULong, st.integers(0, 2**64 - 1)),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
annotation_keys = st.sampled_from(
    [types.Symbol(f"x-opt-{name}") for name in ("enqueued-time", "sequence-number", "locked-until", "partition-key")]
)


@given(
    annotations=st.dictionaries(annotation_keys, anything),
    fields=st.lists(scalars, max_size=13),
    application=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), anything, max_size=4),
    body=st.sampled_from([DATA, VALUE]).flatmap(
        lambda code: st.tuples(st.just(code), st.binary() if code == DATA else anything)
    ),
)
def test_nothing_a_sender_can_do_raises(
    annotations: dict[object, object], fields: list[object], application: dict[str, object], body: tuple[int, object]
) -> None:
    message = received((ANNOTATIONS, annotations), (PROPERTIES, fields), (APPLICATION, application), body)
    delivery = to_delivery(message, NOW)
    strip_unsettleable(message)
    assert isinstance(delivery.enqueued_at, float)
    assert delivery.message_id != ""


def test_trace_properties_that_are_not_ascii_are_taken_out_of_the_message_but_not_of_the_delivery() -> None:
    message = received((APPLICATION, {"traceparent": "00-ü", "tracestate": "a=b", "Diagnostic-Id": "|ß"}), (DATA, b""))
    delivery = to_delivery(message, NOW)
    strip_unsettleable(message)
    assert message.application_properties == {b"tracestate": b"a=b"}
    assert delivery.properties["traceparent"] == "00-ü"
