"""Copies of requests, kept back by the broker until their turn."""

import asyncio
from types import TracebackType
from typing import Self

from worker.core.redelivery import Copy
from worker.core.reply import Undelivered
from worker.servicebus.connect import Bus
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import of_copy
from worker.servicebus.replies import PATIENCE_S


class RedeliveryOutbox:
    """Fits `bridge.ports.Redeliveries`, inside its `async with`.

    `queue`: the request queue, or the retry queue where requests come from a topic.
    """

    def __init__(self, bus: Bus, *, queue: str) -> None:
        self._outbox = Outbox(bus, queue, writers=1, patience_s=PATIENCE_S)

    async def __aenter__(self) -> Self:
        await self._outbox.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._outbox.__aexit__(kind, error, trace)

    async def schedule(self, copy: Copy, *, until: float) -> Undelivered | None:
        return await self._outbox.send(of_copy(copy, now=asyncio.get_running_loop().time()), until=until)
