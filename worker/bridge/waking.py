"""How a lane's task waits while it has nothing to do."""

import asyncio

from worker.bridge.renewals import NEVER


async def sleep_until_woken(wake: asyncio.Event, seconds: float) -> None:
    """Or for at most `seconds`; afterwards `wake` is clear."""
    try:
        async with asyncio.timeout(seconds if seconds < NEVER else None):
            await wake.wait()
    except TimeoutError:
        pass
    wake.clear()
