import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus.aio import ServiceBusSender

from worker.core.delivery import PropertyValue
from worker.core.redelivery import Copy
from worker.core.reply import Reply, Undelivered
from worker.core.request import ReturnAddress
from worker.core.settlement import Abandon
from worker.emulator.server import EmbeddedBroker
from worker.servicebus import writer
from worker.servicebus.connect import Bus
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.pauses import LONGEST_S, pause_s
from worker.servicebus.redeliveries import RedeliveryOutbox
from worker.servicebus.replies import ReplyOutbox
from worker.servicebus.reply_session import ReplySession

QUEUE, REPLIES = "flow-requests", "flow-replies"
Send = Callable[..., Awaitable[None]]


@pytest.fixture
async def outbox(bus: Bus) -> AsyncIterator[Outbox]:
    async with Outbox(bus, QUEUE, writers=2) as outbox:
        yield outbox


def now() -> float:
    return asyncio.get_running_loop().time()


def message(name: str, **fields: object) -> Outgoing:
    return Outgoing(**{"body": b"{}", "message_id": name, **fields})  # type: ignore[arg-type]  # fields vary


def arrived(broker: EmbeddedBroker, queue: str = QUEUE) -> Counter[str | None]:
    return Counter(found.message.message_id for found in broker.facts.messages(queue))


async def test_a_reply_arrives_in_its_session_with_its_types(bus: Bus) -> None:
    reply = Reply(
        to=ReturnAddress(queue="Flow-Replies", session_id="s"),
        message_id="r",
        correlation_id="m",
        body=b"\x00",
        content_type="text/plain",
        time_to_live_s=30.0,
        properties={"outcome": "answered", "http-status": 200, "elapsed-ms": 2**40},
    )
    session = ReplySession(bus, REPLIES, "s")
    async with ReplyOutbox(bus, queues=(REPLIES,), writers=1) as replies:
        assert await replies.publish(reply, until=now() + 10) is None
        await session.open()
        [received] = await session.receive()
    assert (received.session_id, received.correlation_id, received.message_id) == ("s", "m", "r")
    assert (received.body, received.content_type, received.time_to_live_s) == (b"\x00", "text/plain", 30.0)
    assert received.properties == reply.properties
    await session.close()


@pytest.mark.parametrize("session_id", [None, "s"])
async def test_a_message_is_on_the_wire_what_the_sdk_makes_of_its_own_kind(
    outbox: Outbox, broker: EmbeddedBroker, send: Send, session_id: str | None
) -> None:
    properties: dict[str, PropertyValue] = {
        "text": "ä",
        "number": -5,
        "more": 2**31 - 1,
        "flag": True,
        "part": 0.1,
        "id": UUID(int=5),
        "none": None,
    }
    fields: dict[str, Any] = {
        "body": b"{}",
        "message_id": "m",
        "content_type": "application/json",
        "correlation_id": "c",
        "session_id": session_id,
        "partition_key": "p" if session_id is None else None,
        "subject": "subject",
        "to": "to",
        "reply_to": "queue",
        "reply_to_session_id": "answers",
    }
    enqueue_at = datetime(2100, 1, 1, tzinfo=UTC)
    await send({**fields, "application_properties": properties, "scheduled_enqueue_time_utc": enqueue_at})
    assert await outbox.send(Outgoing(**fields, properties=properties, enqueue_at=enqueue_at), until=now() + 10) is None
    theirs, ours = broker.facts.messages(QUEUE)
    assert ours.message == theirs.message


async def test_a_queue_outside_the_allow_list_gets_nothing(bus: Bus) -> None:
    reply = Reply(
        to=ReturnAddress(queue=QUEUE, session_id="s"),
        message_id="r",
        correlation_id="m",
        body=b"",
        content_type=None,
        time_to_live_s=30.0,
        properties={},
    )
    async with ReplyOutbox(bus, queues=(REPLIES,), writers=1) as replies:
        assert isinstance(await replies.publish(reply, until=now() + 10), Undelivered)


@pytest.mark.parametrize("sessions", [1, 100, 300])
async def test_however_many_send_at_once_each_message_arrives_exactly_once(
    outbox: Outbox, broker: EmbeddedBroker, sessions: int
) -> None:
    names = [f"m{number}" for number in range(300)]
    sends = (
        outbox.send(message(name, session_id=str(number % sessions)), until=now() + 20)
        for number, name in enumerate(names)
    )
    assert set(await asyncio.gather(*sends)) == {None}
    assert arrived(broker) == Counter(names)


async def test_a_batch_is_cut_at_the_limit_of_the_link(outbox: Outbox, broker: EmbeddedBroker) -> None:
    names = [f"m{number}" for number in range(20)]
    sends = (outbox.send(message(name, body=bytes(60_000), session_id="s"), until=now() + 20) for name in names)
    assert set(await asyncio.gather(*sends)) == {None}
    assert arrived(broker) == Counter(names)


async def test_one_that_is_too_large_is_refused_for_good_and_the_others_get_through(
    outbox: Outbox, broker: EmbeddedBroker
) -> None:
    sends = [outbox.send(message("large", body=bytes(300_000), session_id="s"), until=now() + 10)]
    sends += [outbox.send(message(name, session_id="s"), until=now() + 10) for name in ("a", "b")]
    refused, *others = await asyncio.gather(*sends)
    assert refused is not None
    assert refused.is_too_large
    assert others == [None, None]
    assert arrived(broker) == Counter(["a", "b"])


async def test_what_the_queue_never_takes_is_refused_at_once(bus: Bus) -> None:
    async with Outbox(bus, REPLIES, writers=1) as replies, Outbox(bus, "no-such-queue", writers=1) as nowhere:
        started = now()
        sessionless = await replies.send(message("m"), until=now() + 30)
        lost = await nowhere.send(message("m"), until=now() + 30)
        assert now() - started < 5
    assert sessionless is not None
    assert lost is not None
    assert "no such queue" in lost.detail


@pytest.mark.parametrize("resets", [True, False])
async def test_a_send_outlasts_an_outage_and_is_accepted_within_three_seconds_of_its_end(
    outbox: Outbox, broker: EmbeddedBroker, resets: bool
) -> None:
    assert await outbox.send(message("before"), until=now() + 10) is None
    broker.faults.refuse_connections()
    broker.faults.cut_connections(resets=resets)
    sends = asyncio.gather(*(outbox.send(message(name), until=now() + 20) for name in "abc"))
    await asyncio.wait({sends}, timeout=1.0)
    assert not sends.done()
    await broker.faults.admit_connections()
    back_at = now()
    assert set(await sends) == {None}
    assert now() - back_at < 3
    assert arrived(broker) == Counter(["before", "a", "b", "c"])


async def test_a_send_that_is_refused_in_passing_is_repeated(outbox: Outbox, broker: EmbeddedBroker) -> None:
    broker.faults.refuse_sends(QUEUE, times=2)
    broker.faults.refuse_attaches(QUEUE, times=1)
    assert await outbox.send(message("m"), until=now() + 10) is None
    assert arrived(broker) == Counter(["m"])


async def test_a_link_that_was_detached_while_idle_costs_no_message(outbox: Outbox, broker: EmbeddedBroker) -> None:
    assert await outbox.send(message("a"), until=now() + 10) is None
    broker.faults.detach_links(QUEUE)
    assert await outbox.send(message("b"), until=now() + 10) is None
    assert arrived(broker) == Counter(["a", "b"])


async def test_an_idle_sender_is_renewed_before_the_broker_detaches_it(
    bus: Bus, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_S", 0.2)
    made: list[ServiceBusSender] = []

    def counted(queue: str, make: Callable[[str], ServiceBusSender] = bus.sender) -> ServiceBusSender:
        made.append(make(queue))
        return made[-1]

    monkeypatch.setattr(bus, "sender", counted)
    async with Outbox(bus, QUEUE, writers=1) as outbox:
        assert await outbox.send(message("a"), until=now() + 10) is None
        await broker.until(lambda facts: len(made) >= 2 and facts.connections > 0)
        assert await outbox.send(message("b"), until=now() + 10) is None


async def test_when_its_time_is_over_the_reason_of_the_last_failure_is_told(
    outbox: Outbox, broker: EmbeddedBroker
) -> None:
    broker.faults.refuse_sends(QUEUE, description="far too busy")
    undelivered = await outbox.send(message("m"), until=now() + 1.5)
    assert undelivered is not None
    assert "far too busy" in undelivered.detail


async def test_a_caller_that_is_cancelled_disturbs_nobody(outbox: Outbox, broker: EmbeddedBroker) -> None:
    sends = [asyncio.ensure_future(outbox.send(message(f"m{number}"), until=now() + 10)) for number in range(50)]
    await asyncio.sleep(0)
    for send in sends[::2]:
        send.cancel()
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert results[1::2] == [None] * 25
    assert {f"m{number}" for number in range(1, 50, 2)} <= set(arrived(broker))


async def test_what_still_waits_at_the_end_is_told_so(bus: Bus, broker: EmbeddedBroker) -> None:
    broker.faults.refuse_connections()
    async with Outbox(bus, QUEUE, writers=1) as outbox:
        send = asyncio.ensure_future(outbox.send(message("m"), until=now() + 30))
        await asyncio.sleep(0)
    undelivered = await send
    assert undelivered is not None
    assert "stopped" in undelivered.detail


async def test_an_error_inside_comes_out_as_it_is(bus: Bus) -> None:
    with pytest.raises(LookupError):
        async with Outbox(bus, QUEUE, writers=1):
            raise LookupError


async def test_a_copy_waits_at_the_broker_and_comes_back_whole(bus: Bus, lane: ReceiverLane, send: Send) -> None:
    await send({"message_id": "first", "correlation_id": "c", "application_properties": {"n": 5}})
    [original] = await lane.receive(wait_s=5)
    properties = {**original.properties, "big": 2**40, "binary": b"\xff\x00", "request-id": "first"}
    copy = Copy(original=original, message_id="second", properties=properties, time_to_live_s=30.0, delay_s=0.5)
    async with RedeliveryOutbox(bus, queue=QUEUE) as redeliveries:
        assert await redeliveries.schedule(copy, until=now() + 10) is None
        scheduled_at = now()
        [again] = await lane.receive(wait_s=5)
    assert now() - scheduled_at > 0.3
    assert (again.message_id, again.correlation_id, again.body) == ("second", "c", b"{}")
    assert again.properties == properties
    await lane.settle([(delivery, Abandon()) for delivery in (original, again)])


def test_pauses_grow_to_a_bound() -> None:
    pauses = [pause_s(failures, draw=1.0) for failures in range(1, 100)]
    assert pauses[0] <= 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_S
    assert pause_s(50, draw=0.0) == 0.0
