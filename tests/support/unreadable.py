"""Messages that brokers take and the SDK can't decode. Only a client of our own can send them."""

from typing import Final

from emulator.server.raw import connected

from worker.emulator.amqp.message import AMQP_VALUE, Properties, encode_properties, encode_section
from worker.emulator.amqp.performatives import Accepted
from worker.emulator.server import EmbeddedBroker


def _nested(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = [value]
    return value


_LIST_AS_A_KEY: Final = b"\xc1\x03\x02\x45\x40"  # a map of one entry: the empty list to null

UNREADABLE: Final = {
    "nested too deep": encode_section(AMQP_VALUE, _nested(70)),  # a ValueError, which the SDK takes for a time-out
    "a list as a key": encode_section(AMQP_VALUE, None)[:-1] + _LIST_AS_A_KEY,  # a TypeError, which it lets out
}


async def put_unreadable(
    broker: EmbeddedBroker,
    queue: str,
    *,
    kind: str = "nested too deep",
    message_id: str = "unreadable",
    session_id: str | None = None,
) -> None:
    async with connected(broker.port) as client:
        payload = encode_properties(Properties(message_id, group_id=session_id)) + UNREADABLE[kind]
        assert await client.send(await client.sender(queue), payload) == Accepted()
