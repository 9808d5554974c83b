"""Competing Consumers: several lanes share one bound on requests in flight."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Final, Self

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
    slots: int
    slots_free: int
    is_stopping: bool
    is_paused: bool
    failure: str | None  # of one lane that isn't receiving
    renewals: int
    locks_lost: int
    unconfirmed: int
    outages: int

    @classmethod
    def of_all(cls, pumps: Sequence[Self]) -> Self:
        """Of several at once, as if of one."""

        def total(name: str) -> int:
            return sum(getattr(pump, name) for pump in pumps)

        return cls(
            **{name: total(name) for name in _COUNTS},
            is_stopping=bool(pumps) and all(pump.is_stopping for pump in pumps),
            is_paused=bool(pumps) and all(pump.is_paused for pump in pumps),
            failure=next((pump.failure for pump in pumps if pump.failure is not None), None),
        )


_COUNTS: Final = tuple(field.name for field in fields(PumpFacts) if field.type is int)


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

        def total(name: str) -> int:
            return sum(getattr(lane, name) for lane in lanes)

        return PumpFacts(
            lanes=total("is_on_duty"),
            lanes_receiving=total("is_receiving"),
            in_flight=total("in_flight"),
            slots=self._slots.total,
            slots_free=self._slots.free,
            is_stopping=self._is_stopping,
            is_paused=self._is_paused,
            failure=next((lane.failure for lane in lanes if lane.failure is not None), None),
            renewals=total("renewals"),
            locks_lost=total("locks_lost"),
            unconfirmed=total("unconfirmed"),
            outages=total("outages"),
        )
