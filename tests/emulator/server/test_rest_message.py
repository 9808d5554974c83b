"""Headers of any kind become a message that can be read, or are refused in words."""

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from worker.emulator.amqp.message import read_sections
from worker.emulator.broker import Message
from worker.emulator.server.messages import UINT_MAX, read_messages
from worker.emulator.server.request_fields import RequestError
from worker.emulator.server.rest_message import encode_head

TEXTS = ("MessageId", "CorrelationId", "SessionId", "Label", "ReplyTo", "ReplyToSessionId", "To", "PartitionKey")
OTHERS = ("TimeToLive", "ScheduledEnqueueTimeUtc", "Unknown")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def message_of(headers: dict[str, str]) -> Message:
    (message,) = read_messages(encode_head(CIMultiDict(headers)), 0)
    return message


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from((*TEXTS, *OTHERS)), VALUES), st.dictionaries(st.text(min_size=1), st.text()))
def test_nothing_but_a_refusal_comes_of_any_headers(given: dict[str, object], own: dict[str, str]) -> None:
    headers = {"brokerproperties": json.dumps(given), **own}
    with contextlib.suppress(RequestError):
        dict(message_of(headers).application_properties)


@given(st.text())
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    when = json.dumps({"ScheduledEnqueueTimeUtc": text})
    for headers in ({"BrokerProperties": text}, {"BrokerProperties": when}, {"Content-Type": text}):
        with contextlib.suppress(RequestError):
            message_of(headers)


@given(st.fixed_dictionaries(dict.fromkeys(TEXTS, st.text(min_size=1))))
def test_texts_arrive_as_they_were(given: dict[str, str]) -> None:
    sent = message_of({"BrokerProperties": json.dumps(given)})
    assert given == {
        "MessageId": sent.message_id,
        "CorrelationId": sent.correlation_id,
        "SessionId": sent.session_id,
        "Label": sent.subject,
        "ReplyTo": sent.reply_to,
        "ReplyToSessionId": sent.reply_to_session_id,
        "To": sent.to,
        "PartitionKey": sent.partition_key,
    }


@given(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text())
def test_an_application_property_written_as_json_arrives_as_its_value(value: object) -> None:
    arrived = message_of({"Own": json.dumps(value)}).application_properties["Own"]
    assert arrived == (value if is_kept(value) else json.dumps(value))


def is_kept(value: object) -> bool:
    return value is not None and value not in {float("inf"), float("-inf")}


@given(st.floats(min_value=0.001, allow_infinity=False))
def test_a_time_to_live_lasts_as_long_as_amqp_can_say(ttl_s: float) -> None:
    head = encode_head({"BrokerProperties": json.dumps({"TimeToLive": ttl_s})})
    ttl_ms = read_sections(head).header.ttl
    assert ttl_ms is not None
    assert abs(ttl_ms - min(ttl_s * 1000, UINT_MAX)) < 1000
