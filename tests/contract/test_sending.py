"""What a namespace takes in, and what it refuses."""

import asyncio
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)

from .channel import Links, number_of, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_messages_come_in_the_order_in_which_they_were_sent(links: Links) -> None:
    plain = await links.channel("plain")
    ids = [await plain.send() for _ in range(5)]
    messages = await receive(plain.receiver, *ids)
    assert [message.message_id for message in messages] == ids
    numbers = [number_of(message) for message in messages]
    assert numbers == sorted(numbers)
    await asyncio.gather(*(plain.receiver.complete_message(message) for message in messages))


async def test_a_batch_arrives_as_single_messages(links: Links) -> None:
    plain = await links.channel("plain")
    batch = await plain.sender.create_message_batch()
    ids = [uuid4().hex for _ in range(20)]
    for number, message_id in enumerate(ids):
        batch.add_message(
            ServiceBusMessage(f"body {number}", message_id=message_id, application_properties={"number": number})
        )
    await plain.sender.send_messages(batch)

    messages = await receive(plain.receiver, *ids)
    assert [message.message_id for message in messages] == ids
    assert [str(message) for message in messages] == [f"body {number}" for number in range(20)]
    assert [(message.application_properties or {})[b"number"] for message in messages] == list(range(20))
    await asyncio.gather(*(plain.receiver.complete_message(message) for message in messages))


async def test_a_message_near_the_size_limit_arrives_whole(links: Links) -> None:
    plain = await links.channel("plain")
    limit = (await plain.sender.create_message_batch()).max_size_in_bytes
    body = bytes(range(256)) * ((limit - 2048) // 256)
    message = await plain.receive(await plain.send(body))
    assert b"".join(message.body) == body
    await plain.receiver.complete_message(message)


async def test_a_message_above_the_size_limit_is_refused_and_the_sender_goes_on(links: Links) -> None:
    plain = await links.channel("plain")
    limit = (await plain.sender.create_message_batch()).max_size_in_bytes
    with pytest.raises(MessageSizeExceededError):
        await plain.send(b"x" * (limit + 1))
    await plain.receiver.complete_message(await plain.receive(await plain.send("small")))


async def test_a_duplicate_is_taken_and_dropped(links: Links) -> None:
    queue = await links.channel("without-duplicates")
    first = await queue.send("first")
    await queue.send("second", message_id=first)
    kept = [message for message in await queue.receiver.peek_messages(100) if message.message_id == first]
    assert [str(message) for message in kept] == ["first"]
    await queue.receiver.complete_message(await queue.receive(first))


async def test_a_duplicate_is_dropped_also_after_the_first_was_completed(links: Links) -> None:
    queue = await links.channel("without-duplicates")
    first = await queue.send("first")
    await queue.receiver.complete_message(await queue.receive(first))
    await queue.send("second", message_id=first)
    other = await queue.send("other")
    (message,) = await queue.receiver.receive_messages(max_message_count=1, max_wait_time=10)
    assert message.message_id == other
    await queue.receiver.complete_message(message)


async def test_no_such_queue(links: Links) -> None:
    missing = f"missing-{uuid4().hex}"
    with pytest.raises(MessagingEntityNotFoundError):
        await links.sender(missing)
    with pytest.raises(MessagingEntityNotFoundError):
        await links.receiver(missing)


async def test_a_message_without_a_session_is_refused_by_a_queue_that_keeps_sessions(links: Links) -> None:
    sender = await links.sender("sessions")
    with pytest.raises(ServiceBusError, match=r"(?i)session"):
        await sender.send_messages(ServiceBusMessage("astray"))


async def test_a_receiver_without_a_session_is_refused_by_a_queue_that_keeps_sessions(links: Links) -> None:
    with pytest.raises(ServiceBusError, match=r"(?i)session"):
        await links.receiver("sessions")


async def test_a_receiver_with_a_session_is_refused_by_a_queue_that_keeps_none(links: Links) -> None:
    with pytest.raises(ServiceBusError, match=r"(?i)session"):
        await links.receiver("plain", session_id="S")
