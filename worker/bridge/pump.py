"""Competing Consumers: several lanes share one bound on requests in flight."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.ports import Lane, SessionLane
from worker.bridge.process import Bridge
from worker.bridge.roster import Roster
from worker.bridge.session_work import SessionWork
from worker.bridge.slots import Slots
from worker.bridge.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpFacts:
    lanes: int  # on duty
    lanes_receiving: int
    in_flight: int
    slots_free: int
    is_stopping: bool
    is_paused: bool
    failure: str | None  # of one lane that isn't receiving


class Pump:
    """Of sources without sessions, each by some of its `lanes`, `least` at any time and all of them under load.

    Or of a queue with sessions, by `sessions`, each a slot of its own; `max_delivery_count`: as that queue has it.
    `cpu_s`: what this process has used.
    """

    def __init__(
        self,
        *lanes: Sequence[Lane],
        least: int = 1,
        sessions: Sequence[SessionLane] = (),
        bridge: Bridge,
        concurrency: int,
        max_delivery_count: int = 10,
        cpu_s: Callable[[], float],
        observe: Callable[[Observed], None],
    ) -> None:
        self._slots = slots = Slots(concurrency)
        turns = Turns(len(sessions))
        works = [[LaneWork(lane, bridge=bridge, slots=slots, observe=observe) for lane in source] for source in lanes]
        self._rosters = [Roster(source, least=least, cpu_s=cpu_s) for source in works]
        self._lanes: list[LaneWork | SessionWork] = [
            *chain.from_iterable(works),
            *(
                SessionWork(
                    lane,
                    bridge=bridge,
                    slots=slots,
                    turns=turns,
                    max_delivery_count=max_delivery_count,
                    observe=observe,
                )
                for lane in sessions
            ),
        ]
        self._is_stopping = False
        self._is_paused = False

    async def run(self) -> None:
        """Returns after `stop`, when everything in flight has been settled."""
        async with asyncio.TaskGroup() as beside:
            rosters = [beside.create_task(roster.run()) for roster in self._rosters]
            async with asyncio.TaskGroup() as lanes:
                for lane in self._lanes:
                    lanes.create_task(lane.run())
            for roster in rosters:
                roster.cancel()

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
            lanes=sum(lane.is_on_duty for lane in lanes),
            lanes_receiving=sum(lane.is_receiving for lane in lanes),
            in_flight=sum(lane.in_flight for lane in lanes),
            slots_free=self._slots.free,
            is_stopping=self._is_stopping,
            is_paused=self._is_paused,
            failure=next((lane.failure for lane in lanes if lane.failure is not None), None),
        )
