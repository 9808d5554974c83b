"""What a connection may bring, sense and nonsense."""

import asyncio

import pytest
from emulator.server.raw import SESSION_FILTER, RawClient, connected, message, unconnected
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.emulator.amqp.events import ConnectionClosed, LinkAttached
from worker.emulator.amqp.frames import AMQP_HEADER, HEARTBEAT, SASL_HEADER, encode_frame
from worker.emulator.amqp.message import AMQP_VALUE, APPLICATION_PROPERTIES, encode_section
from worker.emulator.amqp.performative_codec import encode_performative
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Begin,
    Coordinator,
    Detach,
    Disposition,
    End,
    Flow,
    Map,
    Open,
    Performative,
    Source,
    Target,
    Transfer,
)
from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker


async def test_several_sessions_with_many_links_share_a_connection(client: RawClient, broker: EmbeddedBroker) -> None:
    second = client.engine.begin()
    links = [
        session.attach(f"{number}-{session.channel}", role=SENDER, source=Source("me"), target=Target("plain"))
        for session in (client.session, second)
        for number in range(50)
    ]
    client.flush()
    for _ in links:
        await client.told(LinkAttached)
    assert broker.facts.links == 100
    second.end()
    client.flush()
    await broker.until(lambda facts: facts.links == 50)


async def test_a_client_that_closes_is_answered(client: RawClient, broker: EmbeddedBroker) -> None:
    client.engine.close()
    client.flush()
    assert await client.told(ConnectionClosed) == ConnectionClosed(None)
    await client.is_lost.wait()
    await broker.until(lambda facts: facts.connections == 0)


async def test_a_client_that_wants_heartbeats_gets_them(broker: EmbeddedBroker) -> None:
    async with unconnected(broker.port) as client:
        client.transport.write(AMQP_HEADER + _frame(Open("c", idle_time_out=200)))
        await client.heard(HEARTBEAT)


async def test_transactions_are_refused(client: RawClient) -> None:
    link = client.session.attach("tx", role=SENDER, source=Source("me"), target=Coordinator())
    client.flush()
    refused = await client.detached(link)
    assert refused.error is not None
    assert refused.error.condition == "amqp:not-implemented"


@pytest.mark.parametrize("noise", [b"AMQQ\0\1\0\0", SASL_HEADER + b"\xff" * 20, AMQP_HEADER + b"\0" * 64])
async def test_noise_ends_its_own_connection_only(client: RawClient, broker: EmbeddedBroker, noise: bytes) -> None:
    async with unconnected(broker.port) as noisy:
        noisy.transport.write(noise)
        async with asyncio.timeout(5):
            await noisy.is_lost.wait()
        assert noisy.received.startswith((SASL_HEADER, AMQP_HEADER))
    assert await client.send(await client.sender("plain"), message()) == Accepted()


def _frame(performative: Performative, payload: bytes = b"") -> bytes:
    return encode_frame(0, encode_performative(performative) + payload)


def _attach(handle: int, *, role: bool, address: str, filters: Map | None = None) -> bytes:
    source, target = Source(address, filter=filters), Target(address)
    first = 0 if role is SENDER else None
    return _frame(Attach(f"l{handle}", handle, role, source=source, target=target, initial_delivery_count=first))


ASKED: Map = {"operation": "com.microsoft:peek-message"}
CONVERSATION = (
    AMQP_HEADER,
    _frame(Open("c", "h", 65_536, 10)),
    _frame(Begin(None, 0, 1000, 1000)),
    _attach(0, role=SENDER, address="plain"),
    _attach(1, role=RECEIVER, address="plain"),
    _attach(2, role=RECEIVER, address="by-session", filters={SESSION_FILTER: "A"}),
    _attach(3, role=SENDER, address="plain/$management"),
    _attach(4, role=RECEIVER, address="plain/$management"),
    _attach(5, role=SENDER, address="$cbs"),
    _frame(Flow(0, 1000, 0, 1000, 1, 0, 10)),
    _frame(Flow(0, 1000, 0, 1000, 4, 0, 10)),
    _frame(Transfer(0, 0, b"t", 0), message()),
    _frame(Transfer(0, 1, b"u", 0x80013700), encode_section(0x75, message())),
    _frame(Transfer(3, 2, b"v", 0), encode_section(APPLICATION_PROPERTIES, ASKED) + encode_section(AMQP_VALUE, {})),
    _frame(Transfer(5, 3, b"w", 0), encode_section(AMQP_VALUE, "token")),
    _frame(Disposition(RECEIVER, 0, 1, settled=False, state=Accepted())),
    _frame(Flow(0, 1000, 0, 1000, 1, 0, 10, drain=True)),
    _frame(Detach(1, closed=True)),
    _frame(End()),
)


@given(st.data())
@settings(max_examples=60)
def test_no_bytes_changed_in_a_conversation_break_the_server(data: st.DataObject) -> None:
    frames = list(CONVERSATION)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(1, len(frames) - 1))
        frame = bytearray(frames[at])
        frame[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.integers(0, 255))
        frames[at] = bytes(frame)
    asyncio.run(_survives(b"".join(frames)))


async def _survives(data: bytes) -> None:
    """asyncio hands what a protocol raises to the loop's exception handler: nothing may come there."""
    surprises: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    queues = (QueueProperties(name="plain"), QueueProperties(name="by-session", requires_session=True))
    async with EmbeddedBroker(Topology(queues=queues)) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        async with connected(broker.port) as client:
            assert await client.send(await client.sender("plain"), message()) == Accepted()
    assert surprises == []
