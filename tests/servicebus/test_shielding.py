import asyncio
import gc

import pytest

from worker.servicebus.shielding import to_the_end


async def test_the_result_or_the_error_comes_through() -> None:
    async def result() -> int:
        return 5

    async def error() -> int:
        raise LookupError

    assert await to_the_end(result()) == 5
    with pytest.raises(LookupError):
        await to_the_end(error())


async def test_cancellation_takes_effect_only_after_the_end() -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        ended.set()

    task = asyncio.ensure_future(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_error_behind_a_cancellation_leaves_no_trace() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        raise LookupError

    task = asyncio.ensure_future(to_the_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    gate.set()
    await asyncio.wait({task})
    assert task.cancelled()
    del task
    gc.collect()
    assert told == []
