import asyncio

import pytest
from emulator.server.raw import SESSION_FILTER, RawClient, body_of, connected, lock_token, message

from worker.emulator.amqp.message import APPLICATION_PROPERTIES, read_sections, read_value
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SETTLED,
    Accepted,
    DeliveryState,
    Error,
    Map,
    Modified,
    Rejected,
    Released,
    Source,
    Target,
)
from worker.emulator.amqp.types import Symbol, UInt
from worker.emulator.broker import DeadLetter
from worker.emulator.server import EmbeddedBroker, Settled

MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
SESSION_LOCK_LOST = "com.microsoft:session-lock-lost"


async def fill(client: RawClient, entity: str, number: int, *, session_id: str | None = None) -> None:
    sender = await client.sender(entity)
    for each in range(number):
        await client.send(sender, message(b"%d" % each, message_id=str(each), session_id=session_id))


class TestSettling:
    async def test_accepting_completes(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 1)
        delivery = await client.receive(await client.receiver("plain", credit=1))
        assert broker.facts.counts("plain").locked == 1
        assert await client.settle(delivery, Accepted()) == Accepted()
        assert broker.facts.counts("plain").locked == 0

    @pytest.mark.parametrize(
        ("outcome", "delivery_count"), [(Modified(delivery_failed=True), 1), (Modified(), 1), (Released(), 0)]
    )
    async def test_modifying_abandons_and_releasing_gives_back_uncounted(
        self, client: RawClient, outcome: DeliveryState, delivery_count: int
    ) -> None:
        await fill(client, "plain", 1)
        receiver = await client.receiver("plain", credit=2)
        assert await client.settle(await client.receive(receiver), outcome) == outcome
        again = await client.receive(receiver)
        assert read_sections(again.payload).header.delivery_count == delivery_count

    async def test_abandoning_may_change_properties(self, client: RawClient) -> None:
        await fill(client, "plain", 1)
        receiver = await client.receiver("plain", credit=2)
        await client.settle(await client.receive(receiver), Modified(True, False, {Symbol("why"): "because"}))
        again = await client.receive(receiver)
        assert read_value(again.payload, APPLICATION_PROPERTIES) == {"why": "because"}
        assert body_of(again) == b"0"

    async def test_undeliverable_here_defers(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 1)
        delivery = await client.receive(await client.receiver("plain", credit=1))
        outcome = Modified(undeliverable_here=True)
        assert await client.settle(delivery, outcome) == outcome
        assert broker.facts.counts("plain").deferred == 1

    async def test_rejecting_dead_letters_with_reason_and_is_echoed_without_error(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        await fill(client, "plain", 1)
        delivery = await client.receive(await client.receiver("plain", credit=1))
        info: Map = {Symbol("DeadLetterReason"): "Bad", Symbol("DeadLetterErrorDescription"): "very", "extra": 5}
        error = Error("com.microsoft:dead-letter", None, info)
        assert await client.settle(delivery, Rejected(error)) == Rejected()
        dead = await client.receive(await client.receiver("plain/$deadletterqueue", credit=1))
        expected = {"DeadLetterReason": "Bad", "DeadLetterErrorDescription": "very", "extra": 5}
        assert read_value(dead.payload, APPLICATION_PROPERTIES) == expected
        assert read_sections(dead.payload).message_annotations["x-opt-deadletter-source"] == "plain"
        (settled,) = [record for record in broker.facts.history if isinstance(record, Settled)]
        assert settled.message_id == "0"
        assert settled.settlement == DeadLetter(reason="Bad", description="very", properties={"extra": 5})

    async def test_a_lock_that_expired_is_rejected_as_lost(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "brief", 1)
        delivery = await client.receive(await client.receiver("brief", credit=1))
        await broker.until(lambda facts: facts.counts("brief").ready == 1)
        answer = await client.settle(delivery, Accepted())
        assert isinstance(answer, Rejected)
        assert answer.error is not None
        assert answer.error.condition == MESSAGE_LOCK_LOST
        (settled,) = [record for record in broker.facts.history if isinstance(record, Settled)]
        assert settled.refusal == MESSAGE_LOCK_LOST

    async def test_a_settled_disposition_is_done_and_not_answered(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        await fill(client, "plain", 1)
        delivery = await client.receive(await client.receiver("plain", credit=1))
        client.session.dispose(delivery.link, delivery.delivery_id, Accepted())
        client.flush()
        await broker.until(lambda facts: facts.counts("plain").locked == 0)

    async def test_after_a_detach_the_lock_stays_but_the_links_word_counts_no_more(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        await fill(client, "plain", 1)
        delivery = await client.receive(await client.receiver("plain", credit=1))
        await client.detach(delivery.link)
        client.session.dispose(delivery.link, delivery.delivery_id, Accepted())
        await client.sender("plain")
        assert broker.facts.counts("plain").locked == 1

    async def test_receive_and_delete_leaves_nothing_behind(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 2)
        receiver = await client.receiver("plain", credit=2, snd_settle_mode=SETTLED)
        deliveries = [await client.receive(receiver) for _ in range(2)]
        assert all(delivery.is_settled for delivery in deliveries)
        assert len({delivery.tag for delivery in deliveries}) == 2
        assert broker.facts.counts("plain").locked == 0


class TestCredit:
    async def test_no_more_comes_than_credit_was_given_for(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 5)
        receiver = await client.receiver("plain", credit=2)
        assert [body_of(await client.receive(receiver)) for _ in range(2)] == [b"0", b"1"]
        assert broker.facts.counts("plain").locked == 2

    async def test_large_credit_is_used_up(self, client: RawClient) -> None:
        await fill(client, "plain", 350)
        receiver = await client.receiver("plain", credit=1000)
        bodies = [int(body_of(await client.receive(receiver))) for _ in range(350)]
        assert bodies == list(range(350))

    async def test_a_drain_brings_what_is_there_and_takes_the_rest_of_the_credit(self, client: RawClient) -> None:
        await fill(client, "plain", 2)
        receiver = await client.receiver("plain")
        client.session.grant_credit(receiver, 10, drain=True)
        client.flush()
        bodies = [body_of(await client.receive(receiver)) for _ in range(2)]
        await client.sender("plain")
        assert bodies == [b"0", b"1"]
        assert receiver.credit == 0
        assert receiver.delivery_count == 10

    async def test_credit_taken_back_is_not_used(self, client: RawClient, broker: EmbeddedBroker) -> None:
        receiver = await client.receiver("plain", credit=10)
        client.session.grant_credit(receiver, 0)
        await fill(client, "plain", 1)
        assert broker.facts.counts("plain").ready == 1

    async def test_a_client_that_stops_reading_stops_the_deliveries(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        sender = await client.sender("plain")
        for _ in range(200):
            await client.send(sender, message(b"x" * 100_000))
        async with connected(broker.port) as slow:
            receiver = await slow.receiver("plain")
            slow.transport.pause_reading()
            slow.session.grant_credit(receiver, 1000)
            slow.flush()
            await broker.until(lambda facts: facts.counts("plain").locked > 0)
            assert broker.facts.counts("plain").locked <= 150
            slow.transport.resume_reading()
            for _ in range(200):
                await slow.receive(receiver)


class TestSessions:
    async def test_the_answer_names_session_and_lock(self, client: RawClient) -> None:
        await fill(client, "by-session", 1, session_id="A")
        receiver = await client.receiver("by-session", filters={SESSION_FILTER: "A"}, credit=1)
        assert receiver.peer is not None
        assert receiver.peer.source == Source("by-session", filter={SESSION_FILTER: "A"})
        ticks = (receiver.peer.properties or {})["com.microsoft:locked-until-utc"]
        assert isinstance(ticks, int)
        assert 638_000_000_000_000_000 < ticks < 1_000_000_000_000_000_000
        assert body_of(await client.receive(receiver)) == b"0"

    async def test_the_next_session_is_the_one_with_messages(self, client: RawClient) -> None:
        await fill(client, "by-session", 1, session_id="B")
        receiver = await client.receiver("by-session", filters={SESSION_FILTER: None}, credit=1)
        assert receiver.peer is not None
        assert receiver.peer.source is not None
        assert receiver.peer.source.filter == {SESSION_FILTER: "B"}

    async def test_the_next_session_is_waited_for(self, client: RawClient, broker: EmbeddedBroker) -> None:
        waiting = asyncio.create_task(client.receiver("by-session", filters={SESSION_FILTER: None}))
        await broker.until(lambda facts: facts.links == 1)
        async with connected(broker.port) as other:
            await fill(other, "by-session", 1, session_id="C")
        receiver = await waiting
        assert receiver.peer is not None
        assert receiver.peer.source is not None
        assert receiver.peer.source.filter == {SESSION_FILTER: "C"}

    async def test_no_session_in_time_is_a_time_out(self, client: RawClient) -> None:
        wait = {Symbol("com.microsoft:timeout"): UInt(50)}
        link = await client.receiver("by-session", filters={SESSION_FILTER: None}, properties=wait)
        refused = await client.detached(link)
        assert refused.error is not None
        assert refused.error.condition == "com.microsoft:timeout"

    async def test_a_client_may_give_up_waiting(self, client: RawClient, broker: EmbeddedBroker) -> None:
        source = Source("by-session", filter={SESSION_FILTER: None})
        link = client.session.attach("impatient", role=RECEIVER, source=source, target=Target("me"))
        client.flush()
        await broker.until(lambda facts: facts.links == 1)
        await client.detach(link)
        await broker.until(lambda facts: facts.links == 0)
        await fill(client, "by-session", 1, session_id="A")
        assert broker.facts.counts("by-session").ready == 1

    async def test_a_session_has_one_holder(self, client: RawClient) -> None:
        await client.receiver("by-session", filters={SESSION_FILTER: "A"})
        second = await client.receiver("by-session", filters={SESSION_FILTER: "A"})
        refused = await client.detached(second)
        assert refused.error is not None
        assert refused.error.condition == "com.microsoft:session-cannot-be-locked"

    async def test_closing_the_link_gives_the_session_up_uncounted(self, client: RawClient) -> None:
        await fill(client, "by-session", 1, session_id="A")
        first = await client.receiver("by-session", filters={SESSION_FILTER: "A"}, credit=1)
        await client.receive(first)
        await client.detach(first)
        second = await client.receiver("by-session", filters={SESSION_FILTER: "A"}, credit=1)
        assert read_sections((await client.receive(second)).payload).header.delivery_count == 0

    async def test_a_session_whose_lock_expires_is_taken_from_its_holder(self, client: RawClient) -> None:
        await fill(client, "brief-session", 1, session_id="A")
        holder = await client.receiver("brief-session", filters={SESSION_FILTER: "A"}, credit=1)
        delivery = await client.receive(holder)
        detached = await client.detached(holder)
        assert detached.error is not None
        assert detached.error.condition == SESSION_LOCK_LOST
        next_holder = await client.receiver("brief-session", filters={SESSION_FILTER: "A"}, credit=1)
        assert (await client.receive(next_holder)).tag != delivery.tag

    async def test_a_lost_connection_gives_the_session_up(self, client: RawClient, broker: EmbeddedBroker) -> None:
        async with connected(broker.port) as other:
            await other.receiver("by-session", filters={SESSION_FILTER: "A"})
        await broker.until(lambda facts: facts.connections == 1)
        receiver = await client.receiver("by-session", filters={SESSION_FILTER: "A"})
        assert receiver.lifecycle.is_open

    @pytest.mark.parametrize(("entity", "filters"), [("plain", {SESSION_FILTER: "A"}), ("by-session", None)])
    async def test_sessions_are_for_entities_that_keep_them(
        self, client: RawClient, entity: str, filters: dict[object, object] | None
    ) -> None:
        refused = await client.detached(await client.receiver(entity, filters=filters))
        assert refused.error is not None
        assert refused.error.condition == "amqp:not-allowed"


class TestLostConnections:
    async def test_messages_on_their_way_stay_locked(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 1)
        async with connected(broker.port) as other:
            await other.receive(await other.receiver("plain", credit=1))
        await broker.until(lambda facts: facts.connections == 1)
        assert broker.facts.counts("plain").locked == 1

    async def test_messages_that_never_left_return_at_once(self, client: RawClient, broker: EmbeddedBroker) -> None:
        await fill(client, "plain", 3)
        async with connected(broker.port) as other:
            receiver = await other.receiver("plain")
            other.session._incoming.window = 1
            other.transport.pause_reading()
            other.session.grant_credit(receiver, 3)
            other.flush()
            await broker.until(lambda facts: facts.counts("plain").locked == 3)
        await broker.until(lambda facts: facts.counts("plain").locked == 1)
        assert broker.facts.counts("plain").ready == 2


async def test_a_subscription_gets_a_copy(client: RawClient) -> None:
    await client.send(await client.sender("news"), message(b"extra"))
    delivery = await client.receive(await client.receiver("news/subscriptions/ALL", credit=1))
    assert body_of(delivery) == b"extra"


async def test_nothing_is_received_from_a_topic(client: RawClient) -> None:
    refused = await client.detached(await client.receiver("news"))
    assert refused.error is not None
    assert refused.error.condition == "amqp:not-allowed"


async def test_the_delivery_tag_is_the_lock_token(client: RawClient, broker: EmbeddedBroker) -> None:
    await fill(client, "plain", 1)
    delivery = await client.receive(await client.receiver("plain", credit=1))
    (held,) = broker.facts.messages("plain")
    assert lock_token(delivery) == held.lock_token
