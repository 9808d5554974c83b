"""Who sends what waits: writers here are names, and tasks that wait at the pile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from worker.core.reply import Undelivered
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.pile import SESSIONS_EACH, Parcel, Pile


def now() -> float:
    return asyncio.get_running_loop().time()


def parcel(session_id: str | None = "s") -> Parcel:
    ended: asyncio.Future[Undelivered | None] = asyncio.get_running_loop().create_future()
    return Parcel(Outgoing(body=b"", message_id="m", session_id=session_id), ended)


@asynccontextmanager
async def idle(pile: Pile, count: int) -> AsyncIterator[Callable[[], int]]:
    """Writers that wait; how many of them have been roused."""
    writers = [asyncio.create_task(pile.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    try:
        yield lambda: sum(writer.done() for writer in writers)
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.wait(writers)


async def test_the_first_parcel_rouses_one_writer() -> None:
    pile = Pile()
    async with idle(pile, 2) as roused:
        pile.put(parcel(), now())
        pile.put(parcel(), now())
        await asyncio.sleep(0)
        assert roused() == 1


async def test_what_comes_for_a_session_while_a_send_is_under_way_is_one_batch() -> None:
    pile = Pile()
    pile.put(parcel("a"), now())
    assert len(pile.begin("writer", now(), most=100)) == 1
    for _ in range(3):
        pile.put(parcel("b"), now())
    pile.end("writer")
    assert len(pile.begin("writer", now(), most=2)) == 2
    pile.end("writer")
    assert len(pile.begin("writer", now(), most=2)) == 1


async def test_a_send_that_takes_long_holds_up_nothing_else() -> None:
    pile = Pile()
    async with idle(pile, 1) as roused, asyncio.timeout(5):
        pile.put(parcel("a"), now())
        await asyncio.sleep(0)
        assert roused() == 1
    pile.begin("hanging", now(), most=100)
    async with asyncio.timeout(5), idle(pile, 2) as roused:
        pile.put(parcel("b"), now())
        await asyncio.sleep(0)
        assert roused() == 0, "it may be over in a moment"
        while roused() == 0:  # noqa: ASYNC110 - by the pile's own timer
            await asyncio.sleep(0.001)


async def test_many_sessions_rouse_more_writers() -> None:
    pile = Pile()
    pile.put(parcel("first"), now())
    pile.begin("writer", now(), most=100)
    async with idle(pile, 3) as roused:
        for number in range(SESSIONS_EACH + 1):
            pile.put(parcel(f"{number}"), now())
        await asyncio.sleep(0)
        assert roused() == 1


async def test_who_is_cancelled_just_when_roused_sends_another_instead() -> None:
    pile = Pile()
    first = asyncio.create_task(pile.wait())
    await asyncio.sleep(0)
    async with idle(pile, 1) as roused:
        pile.put(parcel(), now())
        first.cancel()
        await asyncio.wait({first})
        await asyncio.sleep(0)
        assert roused() == 1


async def test_what_is_put_back_goes_first_without_what_has_ended() -> None:
    pile = Pile()
    for session_id in ("a", "b"):
        for _ in range(2):
            pile.put(parcel(session_id), now())
    parcels = pile.begin("writer", now(), most=100)
    parcels[0].end(None)
    pile.put_back(parcels)
    pile.end("writer")
    assert pile.begin("writer", now(), most=100) == parcels[1:]
