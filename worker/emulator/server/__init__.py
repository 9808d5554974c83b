"""The broker on the network: asyncio around `amqp` (the protocol) and `broker` (the semantics).

What may live here: sockets, the clock, one timer, and the mapping between AMQP and the broker's calls. What may not:
rules of AMQP, rules of Service Bus, and anything of `worker` outside of `emulator`.
"""

from worker.emulator.server.auth import AnyToken, Auth, SasKey
from worker.emulator.server.embedded import EmbeddedBroker
from worker.emulator.server.facts import Facts
from worker.emulator.server.history import Delivered, Enqueued, Record, Settled

__all__ = [
    "AnyToken",
    "Auth",
    "Delivered",
    "EmbeddedBroker",
    "Enqueued",
    "Facts",
    "Record",
    "SasKey",
    "Settled",
]
