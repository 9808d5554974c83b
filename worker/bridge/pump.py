"""Competing Consumers: several lanes share one bound on requests in flight."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.ports import Lane
from worker.bridge.process import Bridge
from worker.bridge.slots import Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpFacts:
    lanes: int
    lanes_receiving: int
    in_flight: int
    slots_free: int
    is_stopping: bool
    is_paused: bool
    failure: str | None  # of one lane that isn't receiving


class Pump:
    def __init__(
        self, lanes: Sequence[Lane], *, bridge: Bridge, concurrency: int, observe: Callable[[Observed], None]
    ) -> None:
        self._slots = Slots(concurrency)
        self._lanes = [LaneWork(lane, bridge=bridge, slots=self._slots, observe=observe) for lane in lanes]
        self._is_stopping = False
        self._is_paused = False

    async def run(self) -> None:
        """Returns after `stop`, when everything in flight has been settled."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes:
                lanes.create_task(lane.run())

    def pause(self, *, is_paused: bool) -> None:
        """Close the intake, or open it again: requests that nothing could be done with wait in the queue."""
        if is_paused is not self._is_paused:
            self._is_paused = is_paused
            for lane in self._lanes:
                lane.pause(is_paused=is_paused)

    def stop(self) -> None:
        """Receive no more; finish what is in flight."""
        self._is_stopping = True
        for lane in self._lanes:
            lane.stop()

    def cut(self, reason: CutReason) -> None:
        """End what is in flight early, each in the way that `reason` asks for."""
        for lane in self._lanes:
            lane.cut(reason)

    @property
    def facts(self) -> PumpFacts:
        lanes = [lane.facts for lane in self._lanes]
        return PumpFacts(
            lanes=len(lanes),
            lanes_receiving=sum(lane.is_receiving for lane in lanes),
            in_flight=sum(lane.in_flight for lane in lanes),
            slots_free=self._slots.free,
            is_stopping=self._is_stopping,
            is_paused=self._is_paused,
            failure=next((lane.failure for lane in lanes if lane.failure is not None), None),
        )
