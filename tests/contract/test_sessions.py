"""Sessions: one receiver at a time, in order, with a lock and a state of their own."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, SessionCannotBeLockedError, SessionLockLostError

from .channel import PATIENCE_S, Links, number_of, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def send(links: Links, queue: str, session_id: str, *bodies: str) -> list[str]:
    """Answers with the messages' ids."""
    sender = await links.sender(queue)
    messages = [ServiceBusMessage(body, message_id=uuid4().hex, session_id=session_id) for body in bodies]
    for message in messages:
        await sender.send_messages(message)
    return [message.message_id or "" for message in messages]


async def test_a_session_s_messages_come_in_order_and_alone(links: Links) -> None:
    mine, other = uuid4().hex, uuid4().hex
    ids: list[str] = []
    for number in range(3):
        ids += await send(links, "sessions", mine, f"mine {number}")
        await send(links, "sessions", other, f"other {number}")
    receiver = await links.receiver("sessions", session_id=mine)
    messages = await receive(receiver, *ids)
    assert [(message.session_id, str(message)) for message in messages] == [(mine, f"mine {n}") for n in range(3)]
    assert await receiver.peek_messages(max_message_count=1, sequence_number=1 + number_of(messages[-1])) == []
    for message in messages:
        await receiver.complete_message(message)


async def test_an_empty_session_can_be_waited_on(links: Links) -> None:
    session_id = uuid4().hex
    receiver = await links.receiver("sessions", session_id=session_id)
    assert receiver.session.session_id == session_id
    waiting = asyncio.create_task(receiver.receive_messages(max_message_count=1, max_wait_time=10))
    await send(links, "sessions", session_id, "at last")
    (message,) = await waiting
    assert str(message) == "at last"
    await receiver.complete_message(message)


async def test_a_held_session_cannot_be_locked_by_another(links: Links) -> None:
    session_id = uuid4().hex
    await links.receiver("sessions", session_id=session_id)
    with pytest.raises(SessionCannotBeLockedError):
        await links.receiver("sessions", session_id=session_id)


async def test_the_next_available_session_is_one_with_messages(links: Links) -> None:
    session_id = uuid4().hex
    (message_id,) = await send(links, "next-sessions", session_id, "hello")
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        receiver = await links.receiver("next-sessions", session_id=NEXT_AVAILABLE_SESSION)
        if receiver.session.session_id == session_id:
            break
        while strangers := await receiver.receive_messages(max_message_count=100, max_wait_time=1):
            await asyncio.gather(*(receiver.complete_message(stranger) for stranger in strangers))
        assert time.monotonic() < give_up_at
    (message,) = await receive(receiver, message_id)
    assert message.session_id == session_id
    await receiver.complete_message(message)


async def test_the_next_available_session_may_appear_while_it_is_waited_for(links: Links) -> None:
    waiting = asyncio.create_task(
        links.receiver("no-sessions-waiting", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=10)
    )
    session_id = uuid4().hex
    (message_id,) = await send(links, "no-sessions-waiting", session_id, "hello")
    receiver = await waiting
    assert receiver.session.session_id == session_id
    (message,) = await receive(receiver, message_id)
    await receiver.complete_message(message)


async def test_waiting_for_a_session_ends_when_none_comes(links: Links) -> None:
    with pytest.raises(OperationTimeoutError):
        await links.receiver("no-sessions-waiting", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1)


async def test_a_session_has_a_state_that_outlives_its_receivers(links: Links) -> None:
    session_id = uuid4().hex
    first = await links.receiver("sessions", session_id=session_id)
    assert await first.session.get_state() is None
    await first.session.set_state(b"\x00\xffstate")
    await first.close()
    second = await links.receiver("sessions", session_id=session_id)
    assert await second.session.get_state() == b"\x00\xffstate"
    await second.session.set_state(None)
    assert await second.session.get_state() is None


async def test_a_session_s_lock_can_be_renewed(links: Links) -> None:
    receiver = await links.receiver("brief-sessions", session_id=uuid4().hex)
    first = receiver.session.locked_until_utc
    assert first is not None
    assert first > datetime.now(UTC)
    while datetime.now(UTC) <= first:
        assert await receiver.session.renew_lock() > first
        await asyncio.sleep(0.05)
    assert await receiver.session.get_state() is None


async def test_a_session_whose_lock_expired_is_another_s_and_its_messages_count_a_delivery(links: Links) -> None:
    session_id = uuid4().hex
    (message_id,) = await send(links, "brief-sessions", session_id, "hello")
    slow = await links.receiver("brief-sessions", session_id=session_id)
    (lost,) = await receive(slow, message_id)
    quick = await _as_soon_as_free(links, "brief-sessions", session_id)
    (message,) = await receive(quick, message_id)
    assert (lost.delivery_count, message.delivery_count) == (0, 1)
    with pytest.raises(SessionLockLostError):
        await slow.complete_message(lost)
    await quick.complete_message(message)


async def _as_soon_as_free(links: Links, queue: str, session_id: str) -> ServiceBusReceiver:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await links.receiver(queue, session_id=session_id)
        except SessionCannotBeLockedError:
            assert time.monotonic() < give_up_at


async def test_a_closed_session_gives_its_unsettled_messages_back_uncounted(links: Links) -> None:
    session_id = uuid4().hex
    (message_id,) = await send(links, "sessions", session_id, "hello")
    first = await links.receiver("sessions", session_id=session_id)
    await receive(first, message_id)
    await first.close()
    second = await links.receiver("sessions", session_id=session_id)
    (message,) = await receive(second, message_id)
    assert message.delivery_count == 0
    await second.complete_message(message)


async def test_an_abandoned_message_keeps_its_place_in_the_session(links: Links) -> None:
    session_id = uuid4().hex
    ids = await send(links, "sessions", session_id, "one", "two")
    receiver = await links.receiver("sessions", session_id=session_id)
    (first,) = await receive(receiver, ids[0])
    await receiver.abandon_message(first)
    messages = await receive(receiver, *ids)
    assert [(str(message), message.delivery_count) for message in messages] == [("one", 1), ("two", 0)]
    for message in messages:
        await receiver.complete_message(message)


async def test_a_session_s_message_can_be_deferred_and_received_in_the_session(links: Links) -> None:
    session_id = uuid4().hex
    (message_id,) = await send(links, "sessions", session_id, "later")
    receiver = await links.receiver("sessions", session_id=session_id)
    (message,) = await receive(receiver, message_id)
    await receiver.defer_message(message)
    (deferred,) = await receiver.receive_deferred_messages(number_of(message))
    assert str(deferred) == "later"
    await receiver.complete_message(deferred)


async def test_a_session_s_dead_letter_is_received_without_a_session(links: Links) -> None:
    session_id = uuid4().hex
    (message_id,) = await send(links, "sessions", session_id, "poison")
    receiver, dead_letters = await asyncio.gather(
        links.receiver("sessions", session_id=session_id),
        links.dead_letters("sessions"),
    )
    (message,) = await receive(receiver, message_id)
    await receiver.dead_letter_message(message, reason="Malformed", error_description="why")
    (dead,) = await receive(dead_letters, message_id)
    assert (dead.session_id, dead.dead_letter_reason) == (session_id, "Malformed")
    await dead_letters.complete_message(dead)


async def test_a_scheduled_message_comes_into_its_session(links: Links) -> None:
    session_id, message_id = uuid4().hex, uuid4().hex
    sender = await links.sender("sessions")
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    await sender.schedule_messages(ServiceBusMessage("later", message_id=message_id, session_id=session_id), due)
    receiver = await links.receiver("sessions", session_id=session_id)
    (message,) = await receive(receiver, message_id)
    assert message.enqueued_time_utc is not None
    assert message.enqueued_time_utc >= due - timedelta(milliseconds=1)
    await receiver.complete_message(message)
