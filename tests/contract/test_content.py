"""What is sent is what is received."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType, AmqpMessageProperties

from .channel import Links, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Not bytes, which this SDK sends as text, nor integers above 32 bits, which it refuses: the JavaScript SDK sends those.
PROPERTIES: dict[str, Any] = {
    "text": "Zürich - 東京 😀",
    "empty": "",
    "zero": 0,
    "int": 2**31 - 1,
    "negative": -5,
    "float": 0.1,
    "true": True,
    "false": False,
    "uuid": UUID("00112233-4455-6677-8899-aabbccddeeff"),
    "time": datetime(2031, 2, 3, 4, 5, 6, 789000, tzinfo=UTC),
    "none": None,
}


def as_read(value: object) -> object:
    """The SDK gives strings as UTF-8 and times as milliseconds since the epoch."""
    match value:
        case str():
            return value.encode()
        case datetime():
            return round(value.timestamp() * 1000)
        case _:
            return value


async def test_application_properties_of_every_type_arrive_as_they_are(links: Links) -> None:
    plain = await links.channel("plain")
    message = await plain.receive(await plain.send(application_properties=PROPERTIES))
    await plain.receiver.complete_message(message)
    received = message.application_properties or {}
    assert {key: (type(value), value) for key, value in received.items()} == {
        key.encode(): (type(as_read(value)), as_read(value)) for key, value in PROPERTIES.items()
    }


async def test_a_messages_own_fields_arrive_as_they_are(links: Links) -> None:
    plain = await links.channel("plain")
    fields = {
        "correlation_id": "conversation",
        "subject": "Update",
        "content_type": "application/json",
        "to": "somewhere",
        "reply_to": "replies",
        "reply_to_session_id": "S1",
        "partition_key": "P",
        "session_id": "P",
    }
    message = await plain.receive(await plain.send("{}", time_to_live=timedelta(seconds=90), **fields))
    assert {name: getattr(message, name) for name in fields} == fields
    assert message.time_to_live == timedelta(seconds=90)
    assert message.enqueued_time_utc is not None
    assert message.expires_at_utc == message.enqueued_time_utc + timedelta(seconds=90)
    assert message.locked_until_utc is not None
    assert message.locked_until_utc > message.enqueued_time_utc
    await plain.receiver.complete_message(message)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (AmqpMessageBodyType.DATA, {"data_body": [b"one section"]}),
        (AmqpMessageBodyType.DATA, {"data_body": [b"first", b"", b"third"]}),
        (AmqpMessageBodyType.VALUE, {"value_body": {b"key": [1, b"two", None, True]}}),
        (AmqpMessageBodyType.VALUE, {"value_body": b"text"}),
        (AmqpMessageBodyType.SEQUENCE, {"sequence_body": [[1, 2], [b"three"]]}),
    ],
    ids=["data", "three data sections", "a map", "a string", "two sequences"],
)
async def test_a_body_of_each_kind_arrives_as_it_is(
    links: Links, kind: AmqpMessageBodyType, content: dict[str, Any]
) -> None:
    plain = await links.channel("plain")
    message_id = uuid4().hex
    sent = AmqpAnnotatedMessage(**content, properties=AmqpMessageProperties(message_id=message_id))
    await plain.sender.send_messages(sent)
    message = await plain.receive(message_id)
    await plain.receiver.complete_message(message)
    assert message.body_type is kind
    body = message.body if kind is AmqpMessageBodyType.VALUE else list(message.body)
    (expected,) = content.values()
    assert body == expected


async def test_a_sender_s_own_annotations_and_footer_arrive(links: Links) -> None:
    plain = await links.channel("plain")
    message_id = uuid4().hex
    await plain.sender.send_messages(
        AmqpAnnotatedMessage(
            data_body=[b"annotated"],
            properties=AmqpMessageProperties(message_id=message_id),
            annotations={"x-own": "kept"},
            footer={"x-sum": 7},
        )
    )
    message = await plain.receive(message_id)
    await plain.receiver.complete_message(message)
    raw = message.raw_amqp_message
    assert (raw.annotations or {})[b"x-own"] == b"kept"
    assert (raw.footer or {})[b"x-sum"] == 7


async def test_a_message_is_sent_on_as_it_was_received(links: Links) -> None:
    """The old sequence number, lock and state it carries along are not the new message's."""
    plain, competing = await asyncio.gather(links.channel("plain"), links.channel("competing"))
    received = await plain.receive(await plain.send("pass it on", subject="kept"))
    received.message_id = uuid4().hex
    await competing.sender.send_messages(received)
    (passed_on,) = await receive(competing.receiver, received.message_id)
    assert (str(passed_on), passed_on.subject, passed_on.delivery_count) == ("pass it on", "kept", 0)
    assert passed_on.lock_token != received.lock_token
    await plain.receiver.complete_message(received)
    await competing.receiver.complete_message(passed_on)


async def test_a_message_without_an_id_is_given_one(links: Links) -> None:
    plain = await links.channel("plain")
    marker = uuid4().hex
    await plain.sender.send_messages(ServiceBusMessage("nameless", subject=marker, message_id=None))
    while True:
        (message,) = await plain.receiver.receive_messages(max_message_count=1, max_wait_time=10)
        await plain.receiver.complete_message(message)
        if message.subject == marker:
            break
    assert message.message_id
