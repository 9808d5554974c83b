"""One message through the whole bridge, in virtual time: whatever it holds, a settlement comes of it."""

import asyncio
from typing import Final

from bridge.virtual_time import in_virtual_time
from bridge.world import ANSWERED, INDETERMINATE, RUNNING, SPEC, UNAVAILABLE, Ending, World

from fuzz.messages import TOKENS, delivered, messages
from fuzz.target import Target, assert_fit_to_say
from worker.core.delivery import Delivery
from worker.core.redelivery import Copy
from worker.core.request import ReturnAddress
from worker.core.settlement import Complete, DeadLetter
from worker.servicebus.outgoing import of_copy, of_reply, to_message

ENDINGS: Final[tuple[Ending, ...]] = (ANSWERED, RUNNING, UNAVAILABLE, INDETERMINATE)
"""Of a call. A message that leads to no call shows nothing new with the second."""
_MOST_DESCRIPTION_BYTES: Final = 4096  # the broker's limit, in UTF-16
_GENERATIONS: Final = 3


def _passage(data: bytes) -> None:
    for ending in ENDINGS:
        if not in_virtual_time(_passed(data, ending)):
            return


async def _passed(data: bytes, ending: Ending) -> bool:
    """Whether the flow was called."""
    delivery = delivered(data, loop_s=asyncio.get_running_loop().time())
    if delivery is None:
        return False
    world = World()
    world.flows.ending = ending
    for generation in range(_GENERATIONS):
        copies = len(world.redeliveries.scheduled)
        await _settle(world, delivery, is_first=generation == 0)
        if len(world.redeliveries.scheduled) == copies:
            break
        delivery = world.received(world.redeliveries.scheduled[-1])
    for reply in world.replies.published:
        assert reply.to.queue in SPEC.reply_queues
        to_message(of_reply(reply))
    return bool(world.flows.calls)


async def _settle(world: World, delivery: Delivery, *, is_first: bool) -> None:
    """Nobody cuts it short, so it ends: answered, kept as a copy, or dead-lettered with a reason."""
    passage = world.passage(delivery)
    copies, replies = len(world.redeliveries.scheduled), len(world.replies.published)
    settlement = await passage.process()
    scheduled = world.redeliveries.scheduled[copies:]
    for copy in scheduled:
        _assert_can_be_sent(copy)
    if isinstance(settlement, DeadLetter):
        assert_fit_to_say(settlement.description)
        assert len(settlement.description.encode("utf-16-le")) <= _MOST_DESCRIPTION_BYTES
        return
    assert isinstance(settlement, Complete)
    if is_first and isinstance(passage.destination, ReturnAddress):
        assert scheduled or len(world.replies.published) > replies


def _assert_can_be_sent(copy: Copy) -> None:
    to_message(of_copy(copy, now=asyncio.get_running_loop().time()))


PASSAGE_TARGET: Final = Target(
    name="passage", check=_passage, made=messages, covers=("core", "bridge", "servicebus/outgoing"), tokens=TOKENS
)
