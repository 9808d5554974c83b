"""When a flow's next call may start: its rate cap, and what the platform says is left of its allowance."""

import asyncio
from contextlib import suppress

from worker.core.limiter import Allowance, RateLimiter


class Starts:
    def __init__(self, rate_per_s: float) -> None:
        self._limiter = RateLimiter(rate_per_s)
        self._allowance = Allowance()
        self._line = asyncio.Lock()
        self._moved = asyncio.Event()  # pulsed

    def set_share(self, workers: int) -> None:
        """How many share rate and allowance, this worker included."""
        self._limiter.set_share(workers)
        self._allowance.set_share(workers)
        self._pulse()

    def note(self, remaining_writes: int, now: float) -> None:
        """What an answer said is left of the allowance."""
        self._allowance.note(remaining_writes, now)
        self._pulse()

    def next_in_s(self) -> float:
        """Seconds until the next start that nobody holds."""
        now = _now()
        return max(self._limiter.next_start(now), self._allowance.next_start(now)) - now

    def take_at_once(self, now: float) -> bool:
        """Never before those who wait for what is left of the allowance."""
        if self._line.locked() or self._allowance.next_start(now) > now:
            return False
        if self._limiter.reserve(now, until=now) is None:
            return False
        self._allowance.start(now)
        return True

    async def take(self, until: float | None) -> bool:
        """Wait for the next start; False where none comes by `until` on the loop's clock."""
        start = self._limiter.reserve(_now(), until=until)
        if start is None:
            return False
        if start > _now():
            await asyncio.sleep(start - _now())
        if self._allowance.interval_s(_now()) == 0:
            self._allowance.start(_now())
            return True
        try:  # one after the other, because what is left changes with every answer
            async with asyncio.timeout_at(until), self._line:
                return await self._take_of_allowance(until)
        except TimeoutError:
            return False

    async def _take_of_allowance(self, until: float | None) -> bool:
        while (start := self._allowance.next_start(_now())) > _now():
            if until is not None and start > until:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout_at(start):
                    await self._moved.wait()
        self._allowance.start(_now())
        return True

    def _pulse(self) -> None:
        self._moved.set()
        self._moved.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
