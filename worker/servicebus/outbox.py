"""Sending to one queue through a few writers."""

import asyncio
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from worker.core.reply import Undelivered
from worker.servicebus.connect import Bus
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.shielding import to_the_end
from worker.servicebus.writer import Writer


class Outbox:
    """Sends to `queue`, inside its `async with`; the senders are opened at once and kept."""

    def __init__(self, bus: Bus, queue: str, *, writers: int) -> None:
        self._writers = [Writer(bus, queue) for _ in range(writers)]
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
        await to_the_end(_all_done(self._running))
        await self._tasks.__aexit__(None, None, None)  # an error of the block is no writer's: it isn't put into a group

    def stop(self) -> None:
        """What can still be sent is, and the rest told so; leaving the block waits for that."""
        for writer in self._writers:
            writer.stop()

    async def send(self, outgoing: Outgoing, *, until: float) -> Undelivered | None:
        """None once accepted; else why not. A session always goes through the same writer.

        A cancelled caller's message may still go out.
        """
        key = outgoing.session_id or outgoing.message_id
        writer = self._writers[zlib.crc32(key.encode(errors="replace")) % len(self._writers)]
        return await writer.send(outgoing, until=until)


async def _all_done(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
