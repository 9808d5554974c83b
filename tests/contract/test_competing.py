"""Several receivers on one queue, and what they hold in advance."""

import asyncio
import time
from collections import Counter

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusReceiver

from .channel import PATIENCE_S, Links, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_ten_receivers_share_a_queue_and_no_message_comes_twice(links: Links) -> None:
    opening = asyncio.gather(*(links.receiver("competing") for _ in range(10)))
    sender, receivers = await asyncio.gather(links.sender("competing"), opening)
    ids = [f"{time.time_ns()}-{number}" for number in range(300)]
    taken: Counter[str] = Counter()

    async def take(receiver: ServiceBusReceiver) -> int:
        """How many it had."""
        mine = 0
        give_up_at = time.monotonic() + PATIENCE_S
        while taken.keys() < set(ids) and time.monotonic() < give_up_at:
            for message in await receiver.receive_messages(max_message_count=5, max_wait_time=0.2):
                await receiver.complete_message(message)
                taken[message.message_id or ""] += 1
                mine += 1
        return mine

    taking = asyncio.gather(*(take(receiver) for receiver in receivers))
    for start in range(0, len(ids), 50):
        await sender.send_messages([ServiceBusMessage("", message_id=each) for each in ids[start : start + 50]])
    shares = await taking
    assert {each: taken[each] for each in ids} == dict.fromkeys(ids, 1)
    assert sum(1 for share in shares if share) > 1


async def test_prefetched_messages_come_one_by_one_without_asking_again(links: Links) -> None:
    sender, receiver = await asyncio.gather(links.sender("prefetched"), links.receiver("prefetched", prefetch_count=20))
    ids = [f"{time.time_ns()}-{number}" for number in range(10)]
    await sender.send_messages([ServiceBusMessage("", message_id=each) for each in ids])
    for each in ids:
        (message,) = await receive(receiver, each)
        await receiver.complete_message(message)
    await receiver.close()


async def test_closing_a_receiver_gives_prefetched_messages_back_uncounted(links: Links) -> None:
    sender, hoarder = await asyncio.gather(links.sender("prefetched"), links.receiver("prefetched", prefetch_count=20))
    ids = [f"{time.time_ns()}-{number}" for number in range(10)]
    await sender.send_messages([ServiceBusMessage("", message_id=each) for each in ids])
    (first,) = await receive(hoarder, ids[0])
    await hoarder.complete_message(first)
    await hoarder.close()

    heir = await links.receiver("prefetched")
    messages = await receive(heir, *ids[1:])
    assert [(message.message_id, message.delivery_count) for message in messages] == [(each, 0) for each in ids[1:]]
    await asyncio.gather(*(heir.complete_message(message) for message in messages))
