"""Messages for later, and looking without taking."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.exceptions import ServiceBusError

from .channel import Links, number_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


def in_s(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_scheduled_message_comes_when_its_time_has_come(links: Links) -> None:
    plain = await links.channel("plain")
    message_id, due = uuid4().hex, in_s(0.5)
    await plain.sender.schedule_messages(ServiceBusMessage("later", message_id=message_id), due)
    message = await plain.receive(message_id)
    assert message.enqueued_time_utc is not None
    assert message.enqueued_time_utc >= due - timedelta(milliseconds=1)  # which is what AMQP's times can say
    await plain.receiver.complete_message(message)


async def test_a_message_sent_with_an_enqueue_time_is_scheduled_too(links: Links) -> None:
    plain = await links.channel("plain")
    due = in_s(0.5)
    message = await plain.receive(await plain.send("later", scheduled_enqueue_time_utc=due))
    assert message.enqueued_time_utc is not None
    assert message.enqueued_time_utc >= due - timedelta(milliseconds=1)
    await plain.receiver.complete_message(message)


async def test_a_scheduled_message_is_seen_before_its_time_and_is_gone_once_cancelled(links: Links) -> None:
    plain = await links.channel("plain")
    messages = [ServiceBusMessage(body, message_id=uuid4().hex) for body in ("one", "two")]
    numbers = await plain.sender.schedule_messages(messages, in_s(60))
    (seen,) = await plain.receiver.peek_messages(max_message_count=1, sequence_number=numbers[0])
    assert (str(seen), seen.state) == ("one", ServiceBusMessageState.SCHEDULED)
    await plain.sender.cancel_scheduled_messages(numbers)
    assert [await plain.keeps(number) for number in numbers] == [False, False]


async def test_what_is_not_scheduled_cannot_be_cancelled(links: Links) -> None:
    plain = await links.channel("plain")
    (number,) = await plain.sender.schedule_messages(ServiceBusMessage("once", message_id=uuid4().hex), in_s(60))
    await plain.sender.cancel_scheduled_messages(number)
    with pytest.raises(ServiceBusError):
        await plain.sender.cancel_scheduled_messages(number)


async def test_peeking_shows_messages_of_every_state_and_takes_none(links: Links) -> None:
    plain = await links.channel("plain")
    deferred = await plain.receive(await plain.send("deferred"))
    await plain.receiver.defer_message(deferred)
    locked = await plain.receive(await plain.send("locked"))
    active_id = await plain.send("active")
    (scheduled,) = await plain.sender.schedule_messages(
        ServiceBusMessage("scheduled", message_id=uuid4().hex), in_s(60)
    )

    seen = await plain.receiver.peek_messages(max_message_count=4, sequence_number=number_of(deferred))
    assert [(str(message), message.state) for message in seen] == [
        ("deferred", ServiceBusMessageState.DEFERRED),
        ("locked", ServiceBusMessageState.ACTIVE),
        ("active", ServiceBusMessageState.ACTIVE),
        ("scheduled", ServiceBusMessageState.SCHEDULED),
    ]
    assert all(message.delivery_count in {0, None} for message in seen)

    active = await plain.receive(active_id)
    assert active.delivery_count == 0
    (again,) = await plain.receiver.receive_deferred_messages(number_of(deferred))
    await asyncio.gather(*(plain.receiver.complete_message(message) for message in (locked, active, again)))
    await plain.sender.cancel_scheduled_messages(scheduled)


async def test_peeking_goes_on_where_it_stopped(links: Links) -> None:
    plain = await links.channel("plain")
    ids = [await plain.send() for _ in range(3)]
    (probe,) = [message for message in await plain.receiver.peek_messages(100) if message.message_id == ids[0]]
    first = await plain.receiver.peek_messages(max_message_count=2, sequence_number=number_of(probe))
    rest = await plain.receiver.peek_messages(max_message_count=2)
    assert [message.message_id for message in [*first, *rest]] == ids
    for message_id in ids:
        await plain.receiver.complete_message(await plain.receive(message_id))
