"""The lanes of one source: as many at work as its load needs."""

import asyncio
from collections.abc import Sequence
from typing import Final

from worker.bridge.lane_work import LaneWork
from worker.core.lane_demand import LaneDemand

_LOOKS_EVERY_S: Final = 0.25


class Roster:
    def __init__(self, lanes: Sequence[LaneWork], *, least: int) -> None:
        self._lanes = lanes
        self._demand = LaneDemand(least=least, most=len(lanes))
        self._assign()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            on_duty = self._lanes[: self._demand.wanted]
            shares = [lane.take_busy_share() for lane in on_duty]
            is_opening = any(
                share is None and lane.facts.failure is None for share, lane in zip(shares, on_duty, strict=True)
            )
            self._demand.look([share for share in shares if share is not None], is_opening=is_opening, now=loop.time())
            if self._demand.wanted != len(on_duty):
                self._assign()

    def _assign(self) -> None:
        for number, lane in enumerate(self._lanes):
            lane.rest(is_resting=number >= self._demand.wanted)
