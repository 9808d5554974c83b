from uuid import UUID

import pytest
from emulator.server.raw import RawClient, body_of, message

from worker.emulator.amqp.errors import MESSAGE_SIZE_EXCEEDED
from worker.emulator.amqp.message import (
    DATA,
    MESSAGE_ANNOTATIONS,
    Header,
    Properties,
    encode_header,
    encode_properties,
    encode_section,
    read_sections,
)
from worker.emulator.amqp.performatives import Accepted, Rejected, Source, Target
from worker.emulator.amqp.types import Symbol, ULong
from worker.emulator.server import EmbeddedBroker, Enqueued
from worker.emulator.server.messages import BATCH_FORMAT


async def test_what_was_sent_is_received(client: RawClient) -> None:
    assert await client.send(await client.sender("plain"), message(b"hello")) == Accepted()
    delivery = await client.receive(await client.receiver("plain", credit=1))
    assert body_of(delivery) == b"hello"


@pytest.mark.parametrize("message_id", [ULong(7), UUID(int=9), b"\x00\xff", "text"])
async def test_the_bare_message_arrives_byte_for_byte(client: RawClient, message_id: object) -> None:
    sent = message(b"\x00\x01", message_id=message_id, session_id="any")
    await client.send(await client.sender("plain"), sent)
    delivery = await client.receive(await client.receiver("plain", credit=1))
    assert read_sections(delivery.payload).bare == sent


async def test_header_and_annotations_are_the_brokers_but_senders_own_are_kept(client: RawClient) -> None:
    header = encode_header(Header(durable=False, ttl=60_000, delivery_count=9))
    own = {Symbol("x-mine"): "kept", Symbol("x-opt-sequence-number"): 99, Symbol("x-opt-locked-until"): 5}
    await client.send(await client.sender("plain"), header + encode_section(MESSAGE_ANNOTATIONS, own) + message())
    sections = read_sections((await client.receive(await client.receiver("plain", credit=1))).payload)
    assert sections.header == Header(durable=True, ttl=60_000, delivery_count=0)
    annotations = sections.message_annotations
    assert annotations["x-mine"] == "kept"
    assert annotations["x-opt-sequence-number"] == 1
    assert annotations["x-opt-message-state"] == 0
    locked_until, enqueued = annotations["x-opt-locked-until"], annotations["x-opt-enqueued-time"]
    assert isinstance(locked_until, int)
    assert isinstance(enqueued, int)
    assert 59_000 < locked_until - enqueued < 61_000


async def test_a_message_without_id_is_given_one(client: RawClient) -> None:
    sender = await client.sender("plain")
    await client.send(sender, encode_section(DATA, b"1"))
    await client.send(sender, encode_properties(Properties(subject="s")) + encode_section(DATA, b"2"))
    receiver = await client.receiver("plain", credit=2)
    first, second = [read_sections((await client.receive(receiver)).payload).properties for _ in range(2)]
    assert isinstance(first.message_id, str)
    assert isinstance(second.message_id, str)
    assert first.message_id != second.message_id
    assert second.subject == "s"


async def test_a_batch_is_as_many_messages(client: RawClient, broker: EmbeddedBroker) -> None:
    batch = b"".join(encode_section(DATA, message(b"%d" % number, message_id=str(number))) for number in range(3))
    assert await client.send(await client.sender("plain"), batch, message_format=BATCH_FORMAT) == Accepted()
    receiver = await client.receiver("plain", credit=3)
    assert [body_of(await client.receive(receiver)) for _ in range(3)] == [b"0", b"1", b"2"]
    sent = [record.message_id for record in broker.facts.history if isinstance(record, Enqueued)]
    assert sent == ["0", "1", "2"]


async def test_a_large_message_goes_in_and_out_in_several_frames(client: RawClient) -> None:
    sent = message(bytes(range(256)) * 900)
    await client.send(await client.sender("plain"), sent)
    delivery = await client.receive(await client.receiver("plain", credit=1))
    assert read_sections(delivery.payload).bare == sent


async def test_a_message_above_the_limit_is_rejected_and_the_link_goes_on(client: RawClient) -> None:
    sender = await client.sender("small")
    assert sender.peer is not None
    assert sender.peer.max_message_size == 1024
    refused = await client.send(sender, message(b"x" * 2000))
    assert isinstance(refused, Rejected)
    assert refused.error is not None
    assert refused.error.condition == MESSAGE_SIZE_EXCEEDED
    assert await client.send(sender, message(b"x")) == Accepted()


async def test_bytes_that_are_no_message_are_rejected(client: RawClient) -> None:
    refused = await client.send(await client.sender("plain"), b"\x00\x53\x75\xa0\xff")
    assert isinstance(refused, Rejected)
    assert refused.error is not None
    assert refused.error.condition == "amqp:decode-error"


async def test_a_settled_transfer_is_taken_without_an_answer(client: RawClient, broker: EmbeddedBroker) -> None:
    client.put(await client.sender("plain"), message(), is_settled=True)
    await broker.until(lambda facts: facts.counts("plain").ready == 1)


async def test_a_sender_is_kept_in_credit(client: RawClient, broker: EmbeddedBroker) -> None:
    sender = await client.sender("plain")
    for _ in range(2000):
        await client.send(sender, message())
    assert broker.facts.counts("plain").ready == 2000


@pytest.mark.parametrize(
    "address",
    ["plain", "PLAIN", "/plain", "amqp://localhost/plain", "amqps://ns.example:5671/plain", "sb://localhost:1/plain/"],
)
async def test_an_address_is_bare_or_a_url_and_answered_as_it_was_written(
    client: RawClient, broker: EmbeddedBroker, address: str
) -> None:
    sender = await client.sender(address)
    assert sender.peer is not None
    assert sender.peer.source == Source("me")
    assert sender.peer.target == Target(address)
    await client.send(sender, message())
    assert broker.facts.counts("plain").ready == 1


async def test_an_unknown_entity_is_refused_as_not_found(client: RawClient) -> None:
    link = await client.sender("nowhere")
    refused = await client.detached(link)
    assert link.peer is not None
    assert link.peer.target is None
    assert refused.error is not None
    assert refused.error.condition == "amqp:not-found"
    assert "nowhere" in (refused.error.description or "")


async def test_nothing_can_be_sent_to_dead_letters(client: RawClient) -> None:
    sender = await client.sender("plain/$DeadLetterQueue")
    refused = await client.send(sender, message())
    assert isinstance(refused, Rejected)
    assert refused.error is not None
    assert refused.error.condition == "amqp:not-allowed"
