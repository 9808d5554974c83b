"""Sending to one queue through a few writers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from worker.core.failures import BusUnreachable
from worker.core.reply import Undelivered
from worker.servicebus.connect import Bus
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.pile import Parcel, Pile
from worker.servicebus.shielding import to_the_end
from worker.servicebus.writer import Writer

_STOPPED: Final = BusUnreachable("the sender was stopped")
STOP_S: Final = 2.0  # for a send on the wire; a sender that only waits for the broker is not waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFacts:
    """`sent` messages, in so many `batches`."""

    sent: int
    batches: int
    failure: str | None  # of the latest send


class Outbox:
    """Sends to `queue`, inside its `async with`; the senders are opened at once and kept.

    `patience_s`: how long a queue may be refused (missing, no right to send) before what waits is refused too.
    """

    def __init__(self, bus: Bus, queue: str, *, writers: int, patience_s: float = 0.0) -> None:
        self.queue = queue
        self._limits = bus.limits
        self._pile = Pile()
        self._writers = [Writer(bus, queue, self._pile, patience_s=patience_s) for _ in range(writers)]
        self._is_stopping = False
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = [self._tasks.create_task(writer.run()) for writer in self._writers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await to_the_end(_end(self._running))
        self._pile.refuse_all(_STOPPED)
        await self._tasks.__aexit__(None, None, None)  # an error of the block is no writer's: it isn't put into a group

    @property
    def facts(self) -> OutboxFacts:
        failure = self._pile.last_failure
        return OutboxFacts(
            sent=self._pile.sent, batches=self._pile.batches, failure=None if failure is None else str(failure)
        )

    def stop(self) -> None:
        """What can still be sent is, and the rest told so; leaving the block waits for that."""
        self._is_stopping = True
        for writer in self._writers:
            writer.stop()

    async def send(self, outgoing: Outgoing, *, until: float) -> Undelivered | None:
        """None once accepted; else why not. A cancelled caller's message may still go out."""
        if self._is_stopping:
            return Undelivered(detail=str(_STOPPED))
        loop = self._limits.loop
        parcel = Parcel(outgoing, loop.create_future())
        self._pile.put(parcel, loop.time())
        try:
            with self._limits.until(until):
                return await parcel.ended
        except TimeoutError:
            if parcel.ended.done() and not parcel.ended.cancelled():  # in the same turn of a loop that was held up
                return parcel.ended.result()
            why = self._pile.last_failure or "the broker did not accept it in time"
            return Undelivered(detail=f"queue '{self.queue}': {why}", is_late=True)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=STOP_S)
    for task in late:
        task.cancel()
    await asyncio.wait(tasks)
