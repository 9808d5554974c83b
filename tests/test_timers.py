"""Many scopes, one timer."""

import asyncio

import pytest

from worker.timers import TimeLimits

FAR_S = 600.0
EARLY_S = 0.001  # a loop may ring so much too early


@pytest.fixture
async def limits() -> TimeLimits:
    return TimeLimits()


def now() -> float:
    return asyncio.get_running_loop().time()


async def stay(limits: TimeLimits, at: float) -> float:
    """When it was over."""
    with pytest.raises(TimeoutError), limits.until(at):
        await asyncio.Event().wait()
    return now()


async def test_each_scope_ends_at_its_own_time_in_whatever_order_they_began(limits: TimeLimits) -> None:
    began = now()
    far = asyncio.create_task(stay(limits, began + FAR_S))
    ends = [began + after_s for after_s in (0.03, 0.01, 0.02)]
    for at, ended in zip(ends, await asyncio.gather(*[stay(limits, at) for at in ends]), strict=True):
        assert ended >= at - EARLY_S
    assert not far.done()
    far.cancel()
    await asyncio.wait((far,))
    assert far.cancelled()


async def test_a_scope_that_began_too_late_ends_at_its_first_wait(limits: TimeLimits) -> None:
    await stay(limits, now() - 1.0)


async def test_scopes_that_end_in_time_leave_nothing_that_rings(limits: TimeLimits) -> None:
    first_ends_at = now() + 0.01
    with limits.until(first_ends_at):
        await asyncio.sleep(0)
    later = first_ends_at + 0.02
    assert await stay(limits, later) >= later - EARLY_S
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_that_is_cancelled_as_its_time_is_up_stays_cancelled(limits: TimeLimits) -> None:
    at = now() + 0.01
    task = asyncio.create_task(stay(limits, at))
    asyncio.get_running_loop().call_at(at, task.cancel)
    await asyncio.wait((task,))
    assert task.cancelled()


async def test_an_error_within_the_scope_is_told_as_it_is(limits: TimeLimits) -> None:
    with pytest.raises(KeyError), limits.until(now() + FAR_S):
        raise KeyError
