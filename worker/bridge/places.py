"""The bulkhead as the bridge waits at it."""

import asyncio
from collections import Counter

from worker.core.bulkhead import Bulkhead


class Places:
    """A flow's places among the worker's slots."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._waiting: Counter[str] = Counter()
        self._left = asyncio.Event()  # pulsed

    def held(self, flow: str) -> int:
        return self._bulkhead.held(flow)

    async def enter(self, flow: str) -> float | None:
        """None with a place taken, to be left; or the seconds until its turn, where none will be free in a moment."""
        if self._bulkhead.enter(flow, _now()) or await self._enter_soon(flow):
            return None
        return self._bulkhead.next_turn_s(flow, _now())

    def leave(self, flow: str, *, entered_at: float) -> None:
        now = _now()
        self._bulkhead.leave(flow, now, held_s=now - entered_at)
        if self._waiting:
            self._left.set()
            self._left.clear()

    async def _enter_soon(self, flow: str) -> bool:
        patience_s = self._bulkhead.patience_s(flow, self._waiting[flow], _now())
        if patience_s == 0:
            return False
        self._waiting[flow] += 1
        try:
            async with asyncio.timeout(patience_s):
                while not self._bulkhead.enter(flow, _now()):
                    await self._left.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting[flow] -= 1
            if not self._waiting[flow]:
                del self._waiting[flow]


def _now() -> float:
    return asyncio.get_running_loop().time()
