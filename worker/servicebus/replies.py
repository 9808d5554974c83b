"""Replies to their reply queues."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from worker.core.reply import Reply, Undelivered
from worker.servicebus.connect import Bus
from worker.servicebus.outbox import Outbox, OutboxFacts
from worker.servicebus.outgoing import of_reply

PATIENCE_S: Final = 30.0  # an answer is worth more than one look at a reply queue that refuses it


class ReplyOutbox:
    """Fits `bridge.ports.Replies`, inside its `async with`.

    `queues`: the allow-list of return addresses, told apart without regard to case; `writers`: senders for each.
    """

    def __init__(self, bus: Bus, *, queues: Sequence[str], writers: int = 4) -> None:
        self._outboxes = {
            queue.casefold(): Outbox(bus, queue, writers=writers, patience_s=PATIENCE_S) for queue in queues
        }
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for outbox in self._outboxes.values():
            await self._running.enter_async_context(outbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await self._running.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """Begin what leaving the block waits for: what can still be sent is, and the rest told so."""
        for outbox in self._outboxes.values():
            outbox.stop()

    def facts(self) -> dict[str, OutboxFacts]:
        return {outbox.queue: outbox.facts for outbox in self._outboxes.values()}

    async def publish(self, reply: Reply, *, until: float) -> Undelivered | None:
        outbox = self._outboxes.get(reply.to.queue.casefold())
        if outbox is None:
            return Undelivered(detail=f"'{reply.to.queue}' is not one of the reply queues")
        return await outbox.send(of_reply(reply), until=until)
