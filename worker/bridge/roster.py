"""The lanes of one source: as many at work as its load needs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from worker.bridge.lane_work import LaneWork
from worker.core.lane_demand import LaneDemand

_LOOKS_EVERY_S: Final = 0.25


class Roster:
    """`cpu_s`: what this process has used."""

    def __init__(self, lanes: Sequence[LaneWork], *, least: int, cpu_s: Callable[[], float]) -> None:
        self._lanes = lanes
        self._cpu_s = cpu_s
        self._demand = LaneDemand(least=least, most=len(lanes))
        self._assign()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        used_s, looked_at = self._cpu_s(), loop.time()
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            used_before_s, looked_before = used_s, looked_at
            used_s, looked_at = self._cpu_s(), loop.time()
            on_duty = self._lanes[: self._demand.wanted]
            shares = [lane.take_busy_share() for lane in on_duty]
            is_opening = any(
                share is None and lane.facts.failure is None for share, lane in zip(shares, on_duty, strict=True)
            )
            self._demand.look(
                [share for share in shares if share is not None],
                core_busy=(used_s - used_before_s) / (looked_at - looked_before),
                is_opening=is_opening,
                now=looked_at,
            )
            if self._demand.wanted != len(on_duty):
                self._assign()

    def _assign(self) -> None:
        for number, lane in enumerate(self._lanes):
            lane.rest(is_resting=number >= self._demand.wanted)
