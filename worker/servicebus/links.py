"""Opening and discarding a link: a receiver or sender of the SDK, with a connection of its own."""

import asyncio
import contextlib
from typing import Final, TypeVar

from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

from worker.servicebus.connect import CLOSE_S, TRY_S
from worker.servicebus.failures import explain
from worker.servicebus.leftovers import close_leftovers
from worker.servicebus.shielding import to_the_end

OPEN_S: Final = 2 * TRY_S  # the SDK bounds the attempt; this bounds the SDK

Link = TypeVar("Link", bound=ServiceBusReceiver | ServiceBusSender)


async def open_link(link: Link, doing: str) -> Link:
    """Raises `BusFailure`, with nothing left open."""
    try:
        async with asyncio.timeout(OPEN_S):
            await link.__aenter__()
    except BaseException as error:
        await to_the_end(discard(link))
        await to_the_end(close_leftovers(error))
        if isinstance(error, Exception):
            raise explain(error, doing) from error
        raise
    return link


class Discards:
    """Lost links on their way out, which takes each up to a second, while their successors are opened already."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._must_go = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, link: ServiceBusReceiver | ServiceBusSender | None, *, after_s: float = 0.0) -> None:
        if link is not None:
            task = asyncio.create_task(self._discard(link, after_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Waits for none's time to come. Not cut by cancellation, and over within `CLOSE_S`."""
        self._must_go.set()
        await to_the_end(_all_done(set(self._tasks)))
        self._must_go.clear()

    async def _discard(self, link: ServiceBusReceiver | ServiceBusSender, after_s: float) -> None:
        if after_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(after_s):
                    await self._must_go.wait()
        await discard(link)


async def _all_done(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def discard(link: ServiceBusReceiver | ServiceBusSender) -> None:
    """Close, within bounds and without a word: a link that can't even be closed is of no interest any more.

    A receiver without a session first hands back what it holds unread, at no delivery count.
    """
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await link.close()
