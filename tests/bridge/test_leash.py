import asyncio
from collections.abc import Callable

import pytest

from worker.bridge.leash import CUTS_A_CALL, CUTS_A_REPLY, CutReason, CutShort, Leash

from .virtual_time import STARTS_AT


class Work:
    """Takes a second, and after being cancelled another `cleanup_s`."""

    def __init__(self, *, cleanup_s: float = 0.0, seconds: float = 1.0) -> None:
        self.has_begun = False
        self.was_cancelled = False
        self._cleanup_s = cleanup_s
        self._seconds = seconds

    async def run(self) -> str:
        self.has_begun = True
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.was_cancelled = True
            await asyncio.sleep(self._cleanup_s)
            raise
        return "done"


def at(seconds: float, act: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_at(STARTS_AT + seconds, act)


async def test_what_is_never_cut_gives_its_result() -> None:
    assert await Leash().hold(Work().run(), cut_by=CUTS_A_CALL) == "done"


async def test_a_cut_before_the_work_keeps_it_from_beginning() -> None:
    leash, work = Leash(), Work()
    leash.cut(CutReason.LOCK_LOST)
    with pytest.raises(CutShort) as caught:
        await leash.hold(work.run(), cut_by=CUTS_A_CALL)
    assert caught.value.reason is CutReason.LOCK_LOST
    assert not work.has_begun


async def test_a_cut_during_the_work_cancels_it_at_once() -> None:
    leash, work = Leash(), Work(seconds=100.0)
    at(5.0, lambda: leash.cut(CutReason.DRAIN_OVER))
    with pytest.raises(CutShort) as caught:
        await leash.hold(work.run(), cut_by=CUTS_A_CALL)
    assert caught.value.reason is CutReason.DRAIN_OVER
    assert work.was_cancelled
    assert asyncio.get_running_loop().time() == pytest.approx(STARTS_AT + 5.0)


async def test_a_cut_after_the_work_leaves_its_result_and_stops_the_next() -> None:
    leash, second = Leash(), Work()
    assert await leash.hold(Work().run(), cut_by=CUTS_A_CALL) == "done"
    leash.cut(CutReason.STOP_NOW)
    with pytest.raises(CutShort, match="stopped"):
        await leash.hold(second.run(), cut_by=CUTS_A_REPLY)
    assert not second.has_begun


async def test_the_end_of_the_drain_cuts_a_call_but_not_a_reply() -> None:
    leash = Leash()
    leash.cut(CutReason.DRAIN_OVER)
    assert await leash.hold(Work().run(), cut_by=CUTS_A_REPLY) == "done"
    at(1.5, lambda: leash.cut(CutReason.DRAIN_OVER))
    assert await leash.hold(Work().run(), cut_by=CUTS_A_REPLY) == "done"


async def test_a_second_cut_while_the_first_takes_effect_changes_nothing() -> None:
    leash, work = Leash(), Work(seconds=100.0, cleanup_s=2.0)
    at(1.0, lambda: leash.cut(CutReason.DRAIN_OVER))
    at(2.0, lambda: leash.cut(CutReason.STOP_NOW))
    at(2.0, lambda: leash.cut(CutReason.LOCK_LOST))
    with pytest.raises(CutShort) as caught:
        await leash.hold(work.run(), cut_by=CUTS_A_CALL)
    assert caught.value.reason is CutReason.DRAIN_OVER
    assert asyncio.get_running_loop().time() == pytest.approx(STARTS_AT + 3.0)


async def test_two_cuts_at_once_are_one() -> None:
    leash, work = Leash(), Work(seconds=100.0)

    def cut_twice() -> None:
        leash.cut(CutReason.LOCK_LOST)
        leash.cut(CutReason.STOP_NOW)

    at(1.0, cut_twice)
    with pytest.raises(CutShort) as caught:
        await leash.hold(work.run(), cut_by=CUTS_A_CALL)
    assert caught.value.reason is CutReason.LOCK_LOST


async def test_work_that_ends_although_it_was_cut_gives_its_result() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(100.0)
        except asyncio.CancelledError:
            return "finished all the same"
        return "never"

    leash = Leash()
    at(1.0, lambda: leash.cut(CutReason.STOP_NOW))
    assert await leash.hold(stubborn(), cut_by=CUTS_A_CALL) == "finished all the same"
    await asyncio.sleep(1.0)  # no cancellation is left over for whatever comes next


async def test_cancellation_from_outside_passes_through() -> None:
    leash, work = Leash(), Work(seconds=100.0)
    task = asyncio.create_task(leash.hold(work.run(), cut_by=CUTS_A_CALL))
    at(1.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.was_cancelled


async def test_cancellation_from_outside_wins_over_a_cut_at_the_same_time() -> None:
    leash, work = Leash(), Work(seconds=100.0)
    task = asyncio.create_task(leash.hold(work.run(), cut_by=CUTS_A_CALL))
    at(1.0, lambda: leash.cut(CutReason.LOCK_LOST))
    at(1.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_time_limit_around_the_leash_stays_a_time_limit() -> None:
    leash, work = Leash(), Work(seconds=100.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.0):
            await leash.hold(work.run(), cut_by=CUTS_A_CALL)
    assert work.was_cancelled


async def test_a_time_limit_inside_the_work_stays_its_own() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(3.0):
            await asyncio.sleep(100.0)

    leash = Leash()
    leash.cut(CutReason.DRAIN_OVER)
    with pytest.raises(TimeoutError):
        await leash.hold(impatient(), cut_by=CUTS_A_REPLY)


async def test_a_leash_within_the_work_of_another_is_cut_alone() -> None:
    outer, inner, work = Leash(), Leash(), Work(seconds=100.0)

    async def nested() -> str:
        try:
            return await inner.hold(work.run(), cut_by=CUTS_A_CALL)
        except CutShort:
            return "only the inner one"

    at(1.0, lambda: inner.cut(CutReason.STOP_NOW))
    assert await outer.hold(nested(), cut_by=CUTS_A_CALL) == "only the inner one"


async def test_a_failure_of_the_work_passes_through() -> None:
    async def broken() -> None:
        raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        await Leash().hold(broken(), cut_by=CUTS_A_CALL)


async def test_a_cut_comes_before_a_step_that_is_due_at_the_same_time() -> None:
    """After a standstill of the loop everything is: the end of a lock, and the call that it forbids."""
    leash, loop = Leash(), asyncio.get_running_loop()
    has_called = False

    async def waits_and_calls() -> None:
        nonlocal has_called
        await asyncio.sleep(5.0)
        has_called = True

    loop.call_at(STARTS_AT + 5.0, leash.cut, CutReason.LOCK_LOST)  # before the work's own timer, though not by much
    with pytest.raises(CutShort):
        await leash.hold(waits_and_calls(), cut_by=CUTS_A_CALL)
    assert not has_called


async def test_work_that_pays_no_heed_to_a_cut_leaves_no_cancellation_behind() -> None:
    leash = Leash()

    async def heedless() -> str:
        try:
            await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            return "done"
        return "not cut"

    at(5.0, lambda: leash.cut(CutReason.STOP_NOW))
    assert await leash.hold(heedless(), cut_by=CUTS_A_CALL) == "done"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
