"""A bound that moves while callers wait at it."""

import asyncio
import random
from dataclasses import dataclass

from worker.flow.turnstile import Turnstile


@dataclass
class Bound:
    limit: int

    def __call__(self) -> int:
        return self.limit


async def test_first_come_is_first_served() -> None:
    turnstile = Turnstile(Bound(1))
    await turnstile.enter(None)
    entered: list[int] = []

    async def come(number: int) -> None:
        assert await turnstile.enter(None)
        entered.append(number)
        turnstile.leave()

    comers = [asyncio.create_task(come(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert turnstile.waiting == 5
    assert not turnstile.enter_at_once(), "nobody overtakes"
    turnstile.leave()
    await asyncio.gather(*comers)
    assert entered == [0, 1, 2, 3, 4]
    assert (turnstile.inside, turnstile.waiting) == (0, 0)


async def test_a_bound_that_grows_lets_those_who_wait_in() -> None:
    bound = Bound(1)
    turnstile = Turnstile(bound)
    await turnstile.enter(None)
    waiting = [asyncio.create_task(turnstile.enter(None)) for _ in range(3)]
    await asyncio.sleep(0)
    bound.limit = 3
    turnstile.admit()
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert (turnstile.inside, turnstile.waiting) == (3, 1)
    turnstile.leave()
    await asyncio.gather(*waiting)


async def test_a_bound_that_shrinks_waits_until_enough_have_left() -> None:
    bound = Bound(3)
    turnstile = Turnstile(bound)
    for _ in range(3):
        await turnstile.enter(None)
    bound.limit = 1
    turnstile.leave()
    assert not turnstile.enter_at_once()
    turnstile.leave()
    turnstile.leave()
    assert turnstile.enter_at_once()


async def test_who_waits_too_long_leaves_the_line() -> None:
    turnstile = Turnstile(Bound(1))
    await turnstile.enter(None)
    assert not await turnstile.enter(asyncio.get_running_loop().time() + 0.01)
    assert turnstile.waiting == 0
    turnstile.leave()
    assert turnstile.inside == 0


async def test_whatever_is_cancelled_when_no_place_is_lost() -> None:
    chance = random.Random(7)
    bound = Bound(2)
    turnstile = Turnstile(bound)
    loop = asyncio.get_running_loop()

    async def pass_through() -> None:
        if await turnstile.enter(loop.time() + chance.choice([0.0, 0.001, 1.0])):
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                turnstile.leave()

    for _ in range(300):
        tasks = [asyncio.create_task(pass_through()) for _ in range(6)]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        bound.limit = chance.randrange(1, 4)
        turnstile.admit()
        for task in chance.sample(tasks, 3):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (turnstile.inside, turnstile.waiting) == (0, 0)
