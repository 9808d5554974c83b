import asyncio

import pytest
from emulator.server.raw import SESSION_FILTER, RawClient, Requests, connected, message

from worker.emulator.amqp.events import DeliveryReceived
from worker.emulator.amqp.message import read_sections
from worker.emulator.amqp.performatives import Accepted, DeliveryState, Rejected
from worker.emulator.broker import MessageCounts
from worker.emulator.server import EmbeddedBroker

SERVER_BUSY = "com.microsoft:server-busy"


async def delivered(client: RawClient, *, message_id: str = "id") -> DeliveryReceived:
    await client.send(await client.sender("plain"), message(message_id=message_id))
    return await client.receive(await client.receiver("plain", credit=1))


def condition_of(state: DeliveryState | None) -> str | None:
    assert isinstance(state, Rejected)
    return state.error.condition if state.error else None


def accept(client: RawClient, delivery: DeliveryReceived) -> None:
    client.session.dispose(delivery.link, delivery.delivery_id, Accepted(), is_settled=False)
    client.flush()


class TestConnections:
    @pytest.mark.parametrize("resets", [True, False])
    async def test_all_are_cut_by_reset_or_by_end(
        self, client: RawClient, broker: EmbeddedBroker, resets: bool
    ) -> None:
        assert broker.faults.cut_connections(resets=resets) == 1
        await client.is_lost.wait()
        assert client.was_reset is resets
        await broker.until(lambda facts: facts.connections == 0)

    async def test_only_those_with_a_link_on_an_entity_are_cut(self, client: RawClient, broker: EmbeddedBroker) -> None:
        async with connected(broker.port) as other:
            await other.sender("plain")
            await client.sender("small")
            assert broker.faults.cut_connections(entity="PLAIN") == 1
            await other.is_lost.wait()
        assert not client.is_lost.is_set()

    async def test_the_port_refuses_until_it_admits_again(self, client: RawClient, broker: EmbeddedBroker) -> None:
        broker.faults.refuse_connections()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", broker.port)
        assert await client.send(await client.sender("plain"), message()) == Accepted()
        await broker.faults.admit_connections()
        async with connected(broker.port) as other:
            assert (await other.sender("plain")).lifecycle.is_open

    async def test_a_silent_connection_says_nothing_until_it_speaks_again(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        sender = await client.sender("plain")
        assert broker.faults.silence_connections() == 1
        sending = asyncio.create_task(client.send(sender, message()))
        async with connected(broker.port) as other:
            await other.sender("plain")
        assert not sending.done()
        assert not client.is_lost.is_set()
        assert broker.facts.counts("plain") == MessageCounts()
        broker.faults.end_silence()
        assert await sending == Accepted()

    async def test_the_answer_to_a_send_is_lost_with_the_connection(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        broker.faults.cut_after_sends("plain", times=1)
        client.put(await client.sender("plain"), message())
        await client.is_lost.wait()
        assert broker.facts.counts("plain").ready == 1

    async def test_the_answer_to_a_disposition_is_lost_with_the_connection(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        delivery = await delivered(client)
        broker.faults.cut_after_dispositions("plain", times=1)
        accept(client, delivery)
        await client.is_lost.wait()
        assert broker.facts.counts("plain") == MessageCounts()


class TestLinks:
    async def test_an_entitys_links_are_detached_with_the_condition(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        sender, receiver = await client.sender("plain"), await client.receiver("plain", credit=5)
        spared = await client.sender("small")
        assert broker.faults.detach_links("plain", condition=SERVER_BUSY) == 2
        for link in (sender, receiver):
            detached = await client.detached(link)
            assert detached.error is not None
            assert detached.error.condition == SERVER_BUSY
        assert spared.lifecycle.is_open

    async def test_messages_for_detached_links_go_to_the_next(self, client: RawClient, broker: EmbeddedBroker) -> None:
        first = await client.receiver("plain", credit=5)
        broker.faults.detach_links("plain")
        await client.detached(first)
        assert (await delivered(client)).link is not first

    async def test_attaching_is_refused_as_often_as_asked(self, client: RawClient, broker: EmbeddedBroker) -> None:
        broker.faults.refuse_attaches("plain", times=1)
        refused = await client.detached(await client.receiver("plain"))
        assert refused.error is not None
        assert refused.error.condition == SERVER_BUSY
        assert (await client.receiver("plain")).lifecycle.is_open

    async def test_tokens_are_refused(self, client: RawClient, broker: EmbeddedBroker) -> None:
        broker.faults.refuse_tokens(times=1)
        claims = await Requests(client, "$cbs").open()
        statuses = [(await claims.ask({"operation": "put-token"}, ""))[0]["status-code"] for _ in range(2)]
        assert statuses == [401, 202]


class TestMessages:
    async def test_sending_is_refused_until_cleared(self, client: RawClient, broker: EmbeddedBroker) -> None:
        broker.faults.refuse_sends("plain")
        sender = await client.sender("plain")
        assert [condition_of(await client.send(sender, message())) for _ in range(2)] == [SERVER_BUSY] * 2
        broker.faults.clear()
        assert await client.send(sender, message()) == Accepted()

    async def test_a_lost_lock_brings_the_message_again_and_fails_its_settlement(
        self, client: RawClient, broker: EmbeddedBroker
    ) -> None:
        kept, lost = await delivered(client, message_id="kept"), await delivered(client, message_id="lost")
        assert broker.faults.lose_locks("plain", message_id="lost") == 1
        assert condition_of(await client.settle(lost, Accepted())) == "com.microsoft:message-lock-lost"
        assert await client.settle(kept, Accepted()) == Accepted()
        again = read_sections((await client.receive(await client.receiver("plain", credit=1))).payload)
        assert (again.properties.message_id, again.header.delivery_count) == ("lost", 1)

    async def test_a_lost_session_lock_detaches_its_holder(self, client: RawClient, broker: EmbeddedBroker) -> None:
        holder = await client.receiver("by-session", filters={SESSION_FILTER: "A"})
        assert broker.faults.lose_session_lock("by-session", "B") is False
        assert broker.faults.lose_session_lock("by-session", "A") is True
        detached = await client.detached(holder)
        assert detached.error is not None
        assert detached.error.condition == "com.microsoft:session-lock-lost"

    async def test_a_dropped_disposition_was_never_made(self, client: RawClient, broker: EmbeddedBroker) -> None:
        delivery = await delivered(client)
        broker.faults.drop_dispositions("plain", times=1)
        accept(client, delivery)
        await client.sender("plain")
        assert broker.facts.counts("plain").locked == 1
        assert await client.settle(delivery, Accepted()) == Accepted()

    async def test_a_dropped_answer_leaves_the_settlement_done(self, client: RawClient, broker: EmbeddedBroker) -> None:
        delivery = await delivered(client)
        broker.faults.drop_answers("plain", times=1)
        accept(client, delivery)
        await broker.until(lambda facts: facts.counts("plain") == MessageCounts())
        assert condition_of(await client.settle(delivery, Accepted())) == "com.microsoft:message-lock-lost"

    async def test_a_delayed_disposition_is_made_later(self, client: RawClient, broker: EmbeddedBroker) -> None:
        delivery = await delivered(client)
        broker.faults.delay_dispositions("plain", delay_s=0.1, times=1)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        assert await client.settle(delivery, Accepted()) == Accepted()
        assert loop.time() - asked_at >= 0.1
