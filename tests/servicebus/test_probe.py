import asyncio
from collections.abc import Awaitable, Callable

from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker, SasKey
from worker.servicebus import probe
from worker.servicebus.connect import Bus, BusOptions, QueueSource, SubscriptionSource

Send = Callable[..., Awaitable[None]]


async def test_what_is_in_order_is_found_so_and_nothing_is_taken(bus: Bus, send: Send, broker: EmbeddedBroker) -> None:
    await send({})
    findings = await asyncio.gather(
        probe.request_source(bus, QueueSource(queue="flow-requests")),
        probe.request_source(bus, SubscriptionSource(topic="flow-events", subscription="bridge")),
        probe.sender_link(bus, "flow-replies", "send replies"),
        probe.reply_session(bus, "flow-replies"),
    )
    assert [finding.detail for finding in findings if not finding.ok] == []
    assert broker.facts.counts("flow-requests").ready == 1


async def test_each_thing_that_is_wrong_says_what_to_do(bus: Bus) -> None:
    missing, ordered, sessionless, nowhere = await asyncio.gather(
        probe.request_source(bus, QueueSource(queue="nowhere")),
        probe.request_source(bus, QueueSource(queue="flow-requests-ordered")),
        probe.reply_session(bus, "flow-requests"),
        probe.sender_link(bus, "nowhere", "send replies"),
    )
    assert not any(finding.ok for finding in (missing, ordered, sessionless, nowhere))
    assert "Create it" in missing.detail
    assert "must not require sessions" in ordered.detail
    assert "must require sessions" in sessionless.detail
    assert "Create it" in nowhere.detail


async def test_a_broker_that_is_away_is_a_finding(bus: Bus, broker: EmbeddedBroker) -> None:
    broker.faults.refuse_connections()
    finding = await probe.request_source(bus, QueueSource(queue="flow-requests"))
    assert not finding.ok


async def test_a_key_that_is_refused_is_a_finding_without_the_key() -> None:
    topology = Topology(queues=(QueueProperties(name="q"),))
    async with EmbeddedBroker(topology, auth=SasKey(name="k", key="right", accepts_jwt=False)) as broker:
        text = broker.connection_string.replace("SharedAccessKey=right", "SharedAccessKey=wrong-key")
        async with Bus(BusOptions(connection_string=text)) as bus:
            finding = await probe.sender_link(bus, "q", "send replies")
    assert not finding.ok
    assert "credential" in finding.detail
    assert "wrong-key" not in finding.detail
