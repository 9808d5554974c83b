"""The bulkhead, waited at in virtual time."""

import asyncio

import pytest

from worker.bridge.places import Places
from worker.core.bulkhead import DUE_SOON_S, Bulkhead

from .virtual_time import STARTS_AT


def moving(bulkhead: Bulkhead, flow: str) -> None:
    """As if each place had been held for 10 ms of late."""
    bulkhead.enter(flow, STARTS_AT - 0.01)
    bulkhead.leave(flow, STARTS_AT, held_s=0.01)


async def hold(places: Places, flow: str, *, for_s: float) -> float | None:
    turn_in_s, entered_at = await places.enter(flow), asyncio.get_running_loop().time()
    try:
        if turn_in_s is None:
            await asyncio.sleep(for_s)
    finally:
        if turn_in_s is None:
            places.leave(flow, entered_at=entered_at)
    return turn_in_s


async def test_a_flow_that_hangs_turns_the_next_one_away_at_once() -> None:
    places = Places(Bulkhead(4, ["a", "b"]))
    hanging = [asyncio.create_task(hold(places, "a", for_s=100.0)) for _ in range(3)]
    await asyncio.sleep(1.0)
    before = asyncio.get_running_loop().time()
    turn_in_s = await hold(places, "a", for_s=0.0)
    assert turn_in_s is not None
    assert turn_in_s >= 1.0
    assert asyncio.get_running_loop().time() == before
    assert await hold(places, "b", for_s=0.0) is None
    await asyncio.gather(*hanging)


async def test_a_flow_that_moves_on_lets_the_next_one_wait_a_moment() -> None:
    bulkhead = Bulkhead(4, ["a", "b"])
    moving(bulkhead, "a")
    places = Places(bulkhead)
    turns = await asyncio.gather(*(hold(places, "a", for_s=DUE_SOON_S / 4) for _ in range(9)))
    assert turns == [None] * 9
    assert bulkhead.held("a") == 0


async def test_patience_ends() -> None:
    bulkhead = Bulkhead(4, ["a", "b"])
    moving(bulkhead, "a")
    places = Places(bulkhead)
    holding = [asyncio.create_task(hold(places, "a", for_s=5.0)) for _ in range(3)]
    await asyncio.sleep(0)
    before = asyncio.get_running_loop().time()
    assert await hold(places, "a", for_s=0.0) is not None
    assert asyncio.get_running_loop().time() - before == pytest.approx(DUE_SOON_S + 0.01)
    await asyncio.gather(*holding)


async def test_who_is_cancelled_gives_the_place_back() -> None:
    bulkhead = Bulkhead(4, ["a", "b"])
    places = Places(bulkhead)
    task = asyncio.create_task(hold(places, "a", for_s=100.0))
    await asyncio.sleep(0)
    assert bulkhead.held("a") == 1
    task.cancel()
    await asyncio.wait({task})
    assert bulkhead.held("a") == 0
