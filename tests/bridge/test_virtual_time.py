import asyncio

import pytest

from .virtual_time import STARTS_AT, BusyLoopError, DeadlockError, in_virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_sleep_of_a_day_ends_at_once_and_a_day_later() -> None:
    await asyncio.sleep(86_400.0)
    assert now() == pytest.approx(STARTS_AT + 86_400.0)


async def test_a_timeout_ends_what_it_bounds_at_its_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(7.0):
            await asyncio.Event().wait()
    assert now() == pytest.approx(STARTS_AT + 7.0)


async def test_the_tasks_of_a_group_share_the_time() -> None:
    ends = []

    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ends.append(now() - STARTS_AT)

    async with asyncio.TaskGroup() as group:
        for seconds in (3.0, 1.0, 2.0):
            group.create_task(work(seconds))
    assert ends == pytest.approx([1.0, 2.0, 3.0])


def test_waiting_for_what_never_comes_is_an_error_instead_of_a_hang() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        in_virtual_time(wait())


def test_a_loop_that_lets_no_time_pass_is_an_error_instead_of_a_hang() -> None:
    async def yields_only() -> None:
        while True:  # noqa: ASYNC110  (this is what must be caught)
            await asyncio.sleep(0)

    async def never_yields() -> None:
        while now() < STARTS_AT + 1.0:
            pass

    with pytest.raises(BusyLoopError, match="wake each other"):
        in_virtual_time(yields_only())
    with pytest.raises(BusyLoopError, match="clock"):
        in_virtual_time(never_yields())
