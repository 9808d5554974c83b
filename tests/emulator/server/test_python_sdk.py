"""A first handshake with the official SDK; `tests/contract` goes through all of it."""

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from worker.emulator.broker import MessageCounts
from worker.emulator.server import EmbeddedBroker


async def test_a_message_is_sent_received_and_completed(broker: EmbeddedBroker) -> None:
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        async with client.get_queue_sender("plain") as sender:
            await sender.send_messages(ServiceBusMessage(b"hello", message_id="m", application_properties={"k": 1}))
        async with client.get_queue_receiver("plain", socket_timeout=0.02) as receiver:
            (received,) = await receiver.receive_messages(max_message_count=1, max_wait_time=5)
            assert b"".join(received.body) == b"hello"
            assert received.message_id == "m"
            await receiver.complete_message(received)
    assert broker.facts.counts("plain") == MessageCounts()


async def test_a_session_is_received_under_its_lock(broker: EmbeddedBroker) -> None:
    async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
        async with client.get_queue_sender("by-session") as sender:
            await sender.send_messages([ServiceBusMessage(str(number), session_id="A") for number in range(3)])
        async with client.get_queue_receiver("by-session", session_id="A", socket_timeout=0.02) as receiver:
            received = await receiver.receive_messages(max_message_count=3, max_wait_time=5)
            assert [str(message) for message in received] == ["0", "1", "2"]
            assert receiver.session.session_id == "A"
            await receiver.session.set_state("state")
            assert await receiver.session.get_state() == b"state"
