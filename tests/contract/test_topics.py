"""Topics: every subscription whose rules let a message in has a copy of its own."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue

from .channel import Links, receive

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES: dict[str, dict[str, Any]] = {
    "urgent": {"subject": "invoice", "application_properties": {"priority": "high"}},
    "calm": {"subject": "invoice", "application_properties": {"priority": "low"}},
    "north": {"subject": "order", "application_properties": {"region": "north"}},
    "north test": {"subject": "test", "application_properties": {"region": "north"}},
    "request": {"subject": "order", "reply_to": "somewhere"},
    "north request": {"subject": "x", "reply_to": "somewhere", "application_properties": {"region": "north"}},
}
ENTRANTS = {
    "all": list(MESSAGES),
    "urgent-invoices": ["urgent"],
    "north-or-replies": ["north", "request", "north request"],
}


async def test_a_subscription_gets_what_its_rules_let_in(links: Links) -> None:
    opening = asyncio.gather(*(links.subscription("topic", name) for name in ENTRANTS))
    sender, receivers = await asyncio.gather(links.topic_sender("topic"), opening)
    run = uuid4().hex
    for body, fields in MESSAGES.items():
        await sender.send_messages(ServiceBusMessage(body, message_id=f"{body} {run}", **fields))
    last = f"last {run}"  # comes into all subscriptions, after whatever shouldn't have
    await sender.send_messages(
        ServiceBusMessage(
            "last", message_id=last, subject="invoice", reply_to="x", application_properties={"priority": "high"}
        )
    )

    for receiver, bodies in zip(receivers, ENTRANTS.values(), strict=True):
        taken: list[str] = []
        while "last" not in taken:
            for message in await receiver.receive_messages(max_message_count=10, max_wait_time=10):
                await receiver.complete_message(message)
                if (message.message_id or "").endswith(run):
                    taken.append(str(message))
        assert taken == [*bodies, "last"]


async def test_copies_are_settled_apart(links: Links) -> None:
    sender, one, two, dead_letters = await asyncio.gather(
        links.topic_sender("topic"),
        links.subscription("topic", "all"),
        links.subscription("topic", "urgent-invoices"),
        links.subscription("topic", "urgent-invoices", sub_queue=ServiceBusSubQueue.DEAD_LETTER),
    )
    message_id = uuid4().hex
    await sender.send_messages(ServiceBusMessage("both", message_id=message_id, **MESSAGES["urgent"]))
    (dead,) = await receive(two, message_id)
    await two.dead_letter_message(dead, reason="Malformed")
    (alive,) = await receive(one, message_id)
    await one.complete_message(alive)
    (dead_letter,) = await receive(dead_letters, message_id)
    assert dead_letter.dead_letter_reason == "Malformed"
    await dead_letters.complete_message(dead_letter)
