"""What lanes and reply sessions ask of a receiver alike."""

from typing import Final

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from worker.servicebus.convert import Instant
from worker.servicebus.failures import ReceiverGone

# A peer that is connected but says nothing is never noticed by the SDK, so after this long it is asked something that
# it must answer; a connection that TCP finds dead is noticed within two seconds anyway.
SILENT_S: Final = 15.0
ANSWER_S: Final = 5.0

_BEYOND_THE_LAST: Final = 2**48 - 1  # the largest sequence number there can be: the answer is always empty


async def receive_one(receiver: ServiceBusReceiver, *, wait_s: float) -> list[ServiceBusReceivedMessage]:
    """As soon as it is there."""
    return await receive_some(receiver, most=1, wait_s=wait_s)


async def receive_some(receiver: ServiceBusReceiver, *, most: int, wait_s: float) -> list[ServiceBusReceivedMessage]:
    """Once `most` are there, or what is there after `wait_s`.

    Raises `ReceiverGone` where the SDK says nothing: over a message that it can't decode it shuts its receiver down,
    and every receive from then on ends at once, with nothing.
    """
    began = Instant.now()
    messages = await receiver.receive_messages(max_message_count=most, max_wait_time=wait_s)
    ended = Instant.now()
    # The SDK waits by the wall clock, which may be set meanwhile.
    if not messages and max(ended.loop_s - began.loop_s, ended.wall_s - began.wall_s) < wait_s / 2:
        raise ReceiverGone
    return messages


async def prove_alive(receiver: ServiceBusReceiver) -> None:
    """One round trip that locks, reads and changes nothing. Raises where no answer comes."""
    await receiver.peek_messages(sequence_number=_BEYOND_THE_LAST, timeout=ANSWER_S)
