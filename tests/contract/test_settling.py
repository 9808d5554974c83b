"""What becomes of a message that was received."""

import asyncio
import time
from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessageState, ServiceBusReceiveMode
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from .channel import Links, is_kept, number_of, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_completed_message_is_gone(links: Links) -> None:
    plain = await links.channel("plain")
    message = await plain.receive(await plain.send("hello"))
    assert await plain.keeps(number_of(message))
    await plain.receiver.complete_message(message)
    assert not await plain.keeps(number_of(message))


async def test_a_message_received_and_deleted_is_gone_at_once(links: Links) -> None:
    queue = "received-and-deleted"
    sender, deleting = await asyncio.gather(
        links.channel(queue), links.receiver(queue, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    )
    message_id = await sender.send("hello")
    (message,) = await deleting.receive_messages(max_message_count=1, max_wait_time=10)
    assert (message.message_id, message.lock_token) == (message_id, None)
    assert not await is_kept(deleting, number_of(message))
    with pytest.raises(ValueError, match="RECEIVE_AND_DELETE"):
        await deleting.complete_message(message)


async def test_an_abandoned_message_comes_again_with_its_delivery_counted(links: Links) -> None:
    plain = await links.channel("plain")
    message_id = await plain.send()
    first = await plain.receive(message_id)
    await plain.receiver.abandon_message(first)
    second = await plain.receive(message_id)
    assert (first.delivery_count, second.delivery_count) == (0, 1)
    assert first.sequence_number == second.sequence_number
    assert first.lock_token != second.lock_token
    await plain.receiver.complete_message(second)


async def test_a_deferred_message_is_received_by_its_sequence_number_only(links: Links) -> None:
    plain = await links.channel("plain")
    deferred = await plain.receive(await plain.send("later"))
    await plain.receiver.defer_message(deferred)
    after = await plain.send("now")
    await plain.receiver.complete_message(await plain.receive(after))

    (again,) = await plain.receiver.receive_deferred_messages(number_of(deferred))
    assert again.message_id == deferred.message_id
    assert again.state is ServiceBusMessageState.DEFERRED
    await plain.receiver.complete_message(again)
    with pytest.raises(ServiceBusError):
        await plain.receiver.receive_deferred_messages(number_of(deferred))


async def test_an_abandoned_deferred_message_stays_deferred(links: Links) -> None:
    plain = await links.channel("plain")
    message = await plain.receive(await plain.send())
    await plain.receiver.defer_message(message)
    (again,) = await plain.receiver.receive_deferred_messages(number_of(message))
    await plain.receiver.abandon_message(again)
    (last,) = await plain.receiver.receive_deferred_messages(number_of(message))
    await plain.receiver.complete_message(last)
    assert not await plain.keeps(number_of(message))


async def test_a_dead_letter_says_why_and_whence(links: Links) -> None:
    plain = await links.channel("plain")
    dead_letters = await links.dead_letters("plain")
    message_id = await plain.send("poison", subject="kept", application_properties={"own": 1})
    message = await plain.receive(message_id)
    await plain.receiver.dead_letter_message(message, reason="Malformed", error_description="not JSON - é")

    (dead,) = await receive(dead_letters, message_id)
    assert str(dead) == "poison"
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("Malformed", "not JSON - é")
    assert dead.dead_letter_source in {None, links.name("plain")}  # Service Bus sets it when it forwards dead letters
    assert (dead.subject, (dead.application_properties or {})[b"own"]) == ("kept", 1)
    await dead_letters.complete_message(dead)
    assert not await is_kept(dead_letters, number_of(dead))


async def test_a_message_delivered_too_often_is_dead_lettered(links: Links) -> None:
    queue = await links.channel("few-deliveries")
    dead_letters = await links.dead_letters("few-deliveries")
    message_id = await queue.send()
    for _ in range(2):
        await queue.receiver.abandon_message(await queue.receive(message_id))
    (dead,) = await receive(dead_letters, message_id)
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    await dead_letters.complete_message(dead)


async def test_a_message_past_its_time_to_live_is_dead_lettered(links: Links) -> None:
    queue = await links.channel("few-deliveries")
    dead_letters = await links.dead_letters("few-deliveries")
    message_id = await queue.send(time_to_live=timedelta(milliseconds=200))
    (dead,) = await receive(dead_letters, message_id)
    assert dead.dead_letter_reason == "TTLExpiredException"
    await dead_letters.complete_message(dead)


async def test_a_renewed_lock_lasts_longer(links: Links) -> None:
    brief = await links.channel("brief-locks")
    message = await brief.receive(await brief.send())
    first = message.locked_until_utc
    assert first is not None
    renewed = await brief.receiver.renew_message_lock(message)
    assert renewed > first
    while time.time() <= first.timestamp():
        await brief.receiver.renew_message_lock(message)
        await asyncio.sleep(0.05)
    await brief.receiver.complete_message(message)
    assert not await brief.keeps(number_of(message))


async def test_a_message_whose_lock_expired_comes_again_and_the_old_lock_settles_nothing(links: Links) -> None:
    brief = await links.channel("brief-locks")
    message_id = await brief.send()
    first = await brief.receive(message_id)
    second = await brief.receive(message_id)
    assert (first.delivery_count, second.delivery_count) == (0, 1)
    with pytest.raises(MessageLockLostError):
        await brief.receiver.complete_message(first)
    await brief.receiver.complete_message(second)


async def test_a_message_is_settled_through_another_receiver_while_its_lock_lasts(links: Links) -> None:
    """As the SDK settles after it had to make its link anew: by lock token, on the management link."""
    plain = await links.channel("plain")
    lost = await links.receiver("plain")
    dead_letters = await links.dead_letters("plain")
    ids = [await plain.send() for _ in range(4)]
    completed, abandoned, deferred, dead = await receive(lost, *ids)
    await lost.close()

    await plain.receiver.complete_message(completed)
    await plain.receiver.abandon_message(abandoned)
    await plain.receiver.defer_message(deferred)
    await plain.receiver.dead_letter_message(dead, reason="Malformed")

    assert not await plain.keeps(number_of(completed))
    again = await plain.receive(ids[1])
    assert again.delivery_count == 1
    (later,) = await plain.receiver.receive_deferred_messages(number_of(deferred))
    (dead_letter,) = await receive(dead_letters, ids[3])
    assert dead_letter.dead_letter_reason == "Malformed"
    await asyncio.gather(*(plain.receiver.complete_message(message) for message in (again, later)))
    await dead_letters.complete_message(dead_letter)
