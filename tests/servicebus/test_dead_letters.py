"""Looking at dead letters, sending them again and taking them out, with the SDK on a broker over real sockets."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient
from support.burying import bury
from support.unreadable import UNREADABLE, put_unreadable

from worker.core.dead_letters.copying import copy_of
from worker.core.dead_letters.journal import History, Step
from worker.core.dead_letters.letter import FlowsSpec, letter_of
from worker.core.dead_letters.pace import Pace
from worker.core.dead_letters.selection import Plan, planned
from worker.core.delivery import Delivery
from worker.core.flow_spec import FlowSpec
from worker.core.redelivery import Copy
from worker.emulator.broker import QueueProperties, SubscriptionProperties, TopicProperties, Topology
from worker.emulator.server import EmbeddedBroker
from worker.servicebus.clearing import Cleared, Clearing, Completing
from worker.servicebus.connect import Bus, BusOptions, QueueSource, SubscriptionSource
from worker.servicebus.contact import Contact
from worker.servicebus.dead_letters import Browser, dead_letters_of
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.replaying import Replay
from worker.servicebus.resending import Resender

REQUESTS, DYING, SMALL = "flow-requests", "dying", "small"
DEAD = f"{DYING}/$DeadLetterQueue"
LOCK_S = 5.0
TRUST = ssl.create_default_context()  # one for all links: to make it is most of what opening one costs
FLOWS = FlowsSpec(
    flows={
        "credit": FlowSpec(name="credit", url="https://x/"),
        "billing": FlowSpec(name="billing", url="https://x/", idempotent=True),
    }
)
TOPOLOGY = Topology(
    queues=(
        QueueProperties(name=REQUESTS),
        QueueProperties(name=DYING, lock_s=LOCK_S),
        QueueProperties(name="ordered", requires_session=True),
        QueueProperties(name=SMALL, max_message_bytes=2_000),
    ),
    topics=(TopicProperties(name="events", subscriptions=(SubscriptionProperties(name="bridge"),)),),
)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(TOPOLOGY) as broker:
        yield broker


@pytest.fixture
async def bus(broker: EmbeddedBroker) -> AsyncIterator[Bus]:
    async with Bus(BusOptions(connection_string=broker.connection_string)) as bus:
        yield bus


@pytest.fixture
async def client(broker: EmbeddedBroker) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(broker.connection_string, ssl_context=TRUST) as client:
        yield client


@dataclass(slots=True)
class Noted:
    """A journal in memory."""

    steps: dict[str, list[Step]] = field(default_factory=dict)

    def write(self, step: Step, copies: Iterable[Copy]) -> None:
        for copy in copies:
            self.steps.setdefault(copy.message_id, []).append(step)


def numbered(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"message_id": f"m-{number}", "body": b"%d" % number, **fields} for number in range(count)]


async def peeked(bus: Bus, queue: str = DEAD) -> list[Delivery]:
    async with Browser(bus, QueueSource(queue=queue)) as browser:
        return [each.delivery async for page in browser.pages() for each in page.messages]


def heard_by(changes: list[str]) -> Contact:
    return Contact(on_lost=lambda _failure: changes.append("lost"), on_back=lambda: changes.append("back"))


async def replayed(
    bus: Bus,
    plan: Plan,
    *,
    to: str = REQUESTS,
    rate_per_s: float | None = None,
    lanes: int = 1,
    changes: list[str] | None = None,
) -> tuple[Replay, Cleared, Noted]:
    journal, loop, contact = Noted(), asyncio.get_running_loop(), heard_by([] if changes is None else changes)
    async with Resender(bus, to) as resender:
        work = Replay(
            bus,
            resender,
            queue=to,
            plan=plan,
            journal=journal,
            pace=Pace(rate_per_s, loop.time()),
            contact=contact,
            on_completed=lambda _count: None,
            on_locked=lambda _count: None,
        )
        chosen = [*plan.chosen, *plan.sent]
        source = QueueSource(queue=DEAD)
        clearing = Clearing(
            bus, source, chosen=chosen, work=work, contact=contact, lanes=lanes, window=10, lock_s=LOCK_S
        )
        return work, await clearing.run(), journal


def plan_of(deliveries: Sequence[Delivery], **options: Any) -> Plan:
    letters = [letter_of(each, FLOWS) for each in deliveries]
    history = History(steps=options.pop("steps", {}))
    return planned(letters, history, asked="all", even_if_it_ran=options.pop("even_if_it_ran", False), **options)


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_what_cannot_be_decoded_is_told_of_and_hides_nothing(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker, kind: str
) -> None:
    async with client.get_queue_sender(DYING) as sender:
        await put_unreadable(broker, DYING, kind=kind)
        await sender.send_messages([_message() for _ in range(3)])
        await put_unreadable(broker, DYING, kind=kind)
        await sender.send_messages(_message())
    async with Browser(bus, QueueSource(queue=DYING)) as browser:
        pages = [page async for page in browser.pages()]
        there = await browser.which_of({1, 2, 5, 6, 9})
    assert [number for page in pages for number in page.unreadable] == [1, 5]
    assert [each.delivery.sequence_number for page in pages for each in page.messages] == [2, 3, 4, 6]
    assert there == {1, 2, 5, 6}


def _message() -> Any:
    from azure.servicebus import ServiceBusMessage

    return ServiceBusMessage(b"{}")


async def test_dead_letters_of_queues_with_sessions_and_of_subscriptions_are_seen_as_they_died(
    bus: Bus, client: ServiceBusClient
) -> None:
    async with client.get_queue_sender("ordered") as sender, client.get_topic_sender("events") as publisher:
        message = _message()
        message.session_id = "s"
        await sender.send_messages(message)
        await publisher.send_messages(_message())
    session = client.get_queue_receiver("ordered", session_id="s")
    subscription = client.get_subscription_receiver("events", "bridge")
    for receiver in (session, subscription):
        async with receiver:
            (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            await receiver.dead_letter_message(message, reason="Unroutable")
    for source in (QueueSource(queue="ordered"), SubscriptionSource(topic="events", subscription="bridge")):
        async with Browser(bus, dead_letters_of(source)) as browser:
            found = [each async for page in browser.pages(at_once=1) for each in page.messages]
            assert await browser.at(found[0].delivery.sequence_number) is not None
            assert await browser.at(99) is None
        assert [each.delivery.properties["DeadLetterReason"] for each in found] == ["Unroutable"]


async def test_a_copy_arrives_with_all_that_its_sender_said(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    properties = {"flow": "credit", "tier": "gold", "answer-location": "https://x/?sig=S", "redelivered": True}
    sent = {
        "correlation_id": "c-1",
        "reply_to": "flow-replies",
        "reply_to_session_id": "rs",
        "content_type": "application/json",
        "subject": "credit",
        "time_to_live": timedelta(seconds=600),
        "application_properties": properties,
    }
    await bury(client, DYING, {"message_id": "m-0", "body": b"0", **sent})
    plan = plan_of(await peeked(bus))
    work, cleared, journal = await replayed(bus, plan)
    [copy] = await peeked(bus, REQUESTS)
    [letter] = plan.chosen.values()
    assert copy.message_id == letter.copy_id != "m-0"
    assert copy.properties == {"flow": "credit", "tier": "gold", "request-id": "m-0"}
    said = (copy.body, copy.correlation_id, copy.reply_to, copy.reply_to_session_id, copy.content_type, copy.subject)
    assert said == (b"0", "c-1", "flow-replies", "rs", "application/json", "credit")
    assert copy.time_to_live_s == 600
    assert (work.sent, cleared.completed, cleared.left) == ({1}, {1}, set())
    assert journal.steps == {letter.copy_id: [Step.SENDING, Step.SENT, Step.COMPLETED]}
    assert broker.facts.messages(DEAD) == []


async def test_copies_keep_their_sessions_and_the_order_in_each(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    await bury(client, DYING, *({"body": b"%d" % number, "session_id": f"s{number % 2}"} for number in range(8)))
    letters = await peeked(bus)
    await replayed(bus, plan_of(letters), to="ordered")
    sent = broker.facts.messages("ordered")
    for session in ("s0", "s1"):
        ids = [each.message.message_id for each in sent if each.message.session_id == session]
        assert ids == [copy_of(letter).message_id for letter in letters if letter.session_id == session]
        assert len(ids) == 4


async def test_what_is_not_chosen_is_passed_once_and_left_free(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    await bury(client, DYING, *numbered(40))
    letters = await peeked(bus)
    plan = plan_of([each for each in letters if each.sequence_number % 10 == 0])
    work, _, _ = await replayed(bus, plan, lanes=2)
    assert work.sent == {10, 20, 30, 40}
    left = broker.facts.messages(DEAD)
    assert [each.sequence_number for each in left] == [number for number in range(1, 41) if number % 10]
    assert {each.delivery_count for each in left} == {1}
    assert broker.facts.counts(DEAD).locked == 0


async def test_what_dies_again_meanwhile_is_not_replayed_in_a_circle(bus: Bus, client: ServiceBusClient) -> None:
    await bury(client, DYING, *numbered(2))
    plan = plan_of(await peeked(bus))
    await bury(client, DYING, *numbered(3))
    work, _, _ = await replayed(bus, plan)
    assert work.sent == {1, 2}
    assert len(await peeked(bus)) == 3


async def test_the_rate_is_kept(bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker) -> None:
    await bury(client, DYING, *numbered(8))
    await replayed(bus, plan_of(await peeked(bus)), rate_per_s=20.0)
    times = sorted(each.enqueued_at for each in broker.facts.messages(REQUESTS))
    assert len(times) == 8
    assert times[-1] - times[0] > 0.2  # two may go at once, and seven more take 0.35 s


async def test_a_cut_amid_a_send_sends_nothing_twice(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    """Without duplicate detection: what has arrived is looked for."""
    await bury(client, DYING, *numbered(12))
    broker.faults.cut_after_sends(REQUESTS, times=1)
    work, cleared, _ = await replayed(bus, plan_of(await peeked(bus)))
    assert Counter(each.message.payload for each in broker.facts.messages(REQUESTS)).most_common(1)[0][1] == 1
    assert len(broker.facts.messages(REQUESTS)) == 12
    assert (len(work.sent), cleared.completed, cleared.failure) == (12, set(range(1, 13)), None)


async def test_what_may_have_been_taken_after_a_cut_is_sent_again_only_where_that_does_no_harm(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    """Every send is taken, and the copy at once by a worker, before the link is lost."""
    await bury(
        client,
        DYING,
        {"message_id": "m-0", "application_properties": {"flow": "credit"}},
        {"message_id": "m-1", "application_properties": {"flow": "billing"}},
    )
    letters = await peeked(bus)
    async with client.get_queue_receiver(REQUESTS, receive_mode="receiveanddelete") as worker:
        taking = asyncio.create_task(worker.receive_messages(max_message_count=2, max_wait_time=10))
        broker.faults.cut_after_sends(REQUESTS, times=1)
        work, cleared, journal = await replayed(bus, plan_of(letters))
        taken = Counter(message.message_id for message in await taking)
        taken.update([message.message_id for message in await worker.receive_messages()])
    credit, billing = (copy_of(letter).message_id for letter in letters)
    assert taken == {credit: 1, billing: 2}
    assert (work.in_doubt, work.sent, cleared.completed) == ({1}, {2}, {2})
    assert journal.steps[credit] == [Step.SENDING]
    assert [each.sequence_number for each in broker.facts.messages(DEAD)] == [1]
    assert broker.facts.counts(DEAD).locked == 0


async def test_a_cut_amid_completions_completes_the_rest_and_sends_nothing_twice(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    """And says that the broker, which lets nobody in for a while, has gone and is back."""
    await bury(client, DYING, *numbered(12))
    plan, changes = plan_of(await peeked(bus)), list[str]()
    broker.faults.cut_after_dispositions(DEAD, times=1)

    def let_nobody_in() -> None:
        if broker.facts.messages(REQUESTS):
            broker.faults.refuse_connections()

    with broker.facts.watched(let_nobody_in):
        replaying = asyncio.create_task(replayed(bus, plan, changes=changes))
        while not changes and not replaying.done():
            await asyncio.wait({replaying}, timeout=0.02)
    await broker.faults.admit_connections()
    work, cleared, _ = await replaying
    assert len(broker.facts.messages(REQUESTS)) == len(work.sent) == 12
    assert broker.facts.messages(DEAD) == []
    assert (cleared.left, changes) == (set(), ["lost", "back"])


async def test_what_the_queue_refuses_stays_with_the_reason_and_the_others_go(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    await bury(client, DYING, *numbered(2), {"message_id": "large", "body": b"x" * 4_000})
    work, cleared, journal = await replayed(bus, plan_of(await peeked(bus)), to=SMALL)
    assert len(broker.facts.messages(SMALL)) == 2
    assert [(number, "larger than the queue takes" in why) for number, why in work.failed.items()] == [(3, True)]
    assert (cleared.completed, cleared.left) == ({1, 2}, set())
    [large] = broker.facts.messages(DEAD)
    assert Step.UNSENT in journal.steps[copy_of((await peeked(bus))[0]).message_id]
    assert large.message.message_id == "large"


async def test_what_somebody_else_holds_is_waited_for_as_long_as_a_lock(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker
) -> None:
    await bury(client, DYING, *numbered(3))
    other = ReceiverLane(bus, QueueSource(queue=DEAD))
    await other.open()
    [held] = await other.receive(wait_s=5)
    plan = plan_of(await peeked(bus))
    replaying = asyncio.create_task(replayed(bus, plan))
    await broker.until(lambda facts: len(facts.messages(DEAD)) == 1)
    broker.faults.lose_locks(DEAD)  # as its end would be, some seconds later
    work, _, _ = await replaying
    assert held.sequence_number in work.sent
    assert broker.facts.messages(DEAD) == []
    await other.close()


async def test_purging_past_what_cannot_be_decoded(bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker) -> None:
    await put_unreadable(broker, DYING)
    async with client.get_queue_sender(DYING) as sender:
        await sender.send_messages([_message() for _ in range(3)])
    counts: list[int] = []
    source = QueueSource(queue=DYING)
    work = Completing(counts.append)
    contact = heard_by([])
    clearing = Clearing(bus, source, chosen=[2, 3, 4], work=work, contact=contact, lanes=1, window=10, lock_s=LOCK_S)
    cleared = await clearing.run()
    assert (cleared.completed, sum(counts)) == ({2, 3, 4}, 3)
    assert [each.message.message_id for each in broker.facts.messages(DYING)] == ["unreadable"]


async def test_a_journal_that_cannot_be_written_ends_it_and_gives_everything_back(
    bus: Bus, client: ServiceBusClient, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury(client, DYING, *numbered(12))
    letters = await peeked(bus)

    def fail(self: Noted, step: Step, copies: Iterable[Copy]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Noted, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        await replayed(bus, plan_of(letters), lanes=2)
    assert broker.facts.messages(REQUESTS) == []
    assert broker.facts.counts(DEAD).ready == 12
