"""Copies of one delivery: scheduled on the queue first, and only then is the delivery completed."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final

from worker.bridge.leash import CUTS_A_REPLY, Leash
from worker.bridge.ports import Redeliveries
from worker.core.delivery import Delivery
from worker.core.outcome import Indeterminate, Running, Unavailable
from worker.core.recall import Recall
from worker.core.redelivery import Copy, NoFurtherTry, RedeliverySpec, plan_copy, plan_fetch
from worker.core.reply import Undelivered
from worker.core.settlement import Complete

# A copy that the broker doesn't take for so long is given up; half of a caller's time is kept for telling it.
LONGEST_S: Final = 60.0
LEAST_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCopied:
    """A further try is left, but the queue doesn't take it."""

    why: str


@dataclass(slots=True, kw_only=True, eq=False)
class Copying:
    """`is_in_doubt`: the broker may have a copy that it never confirmed."""

    redeliveries: Redeliveries | None
    recall: Recall
    leash: Leash
    delivery: Delivery
    copy_in_s: float | None = None  # once one is scheduled
    is_in_doubt: bool = False

    @property
    def is_possible(self) -> bool:
        return self.redeliveries is not None

    async def try_later(
        self, outcome: Unavailable | Indeterminate, spec: RedeliverySpec, *, tries: int, deadline: float | None
    ) -> NoFurtherTry | NotCopied | None:
        """None once a copy is scheduled, else why there is none. Raises `CutShort`."""
        if self.redeliveries is None:
            return NotCopied(why="there is no queue for another try (retry_queue)")
        now = _now()
        copy = plan_copy(
            outcome,
            self.delivery,
            spec,
            tries=tries,
            deadline=deadline,
            now=now,
            draw=random.random(),  # noqa: S311 - jitter
        )
        if isinstance(copy, NoFurtherTry):
            return copy
        # The broker may take it although we are cut before we hear of it: then the same copy again, never a call.
        self.recall.keep(self.delivery, outcome, now=now)
        undelivered = await self._schedule(self.redeliveries, copy, deadline)
        if undelivered is None:
            return None
        return NotCopied(why=f"its next try couldn't be scheduled: {undelivered.detail}")

    async def hand_over(self, running: Running, *, flow: str, delay_s: float, deadline: float) -> Undelivered | None:
        """None once a copy is scheduled that fetches the run's answer. Raises `CutShort`."""
        if self.redeliveries is None:
            return Undelivered(detail="there is no queue for a copy (retry_queue)")
        now = _now()
        copy = plan_fetch(running, self.delivery, flow=flow, delay_s=delay_s, deadline=deadline, now=now)
        self.recall.keep(self.delivery, running, now=now)
        undelivered = await self._schedule(self.redeliveries, copy, deadline)
        if undelivered is None:
            self.recall.keep(self.delivery, running, settlement=Complete(), now=_now())
        return undelivered

    async def _schedule(self, queue: Redeliveries, copy: Copy, deadline: float | None) -> Undelivered | None:
        now = _now()
        within_s = LONGEST_S if deadline is None else min(LONGEST_S, max(LEAST_S, (deadline - now) / 2))
        undelivered = await self.leash.hold(self._send(queue, copy, until=now + within_s), cut_by=CUTS_A_REPLY)
        self.copy_in_s = copy.delay_s if undelivered is None else None
        self.is_in_doubt = undelivered is not None and undelivered.is_late
        return undelivered

    async def _send(self, queue: Redeliveries, copy: Copy, *, until: float) -> Undelivered | None:
        self.is_in_doubt = True
        return await queue.schedule(copy, until=until)


def _now() -> float:
    return asyncio.get_running_loop().time()
