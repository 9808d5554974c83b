"""Taking chosen messages out of a queue, past those that aren't chosen.

Service Bus has no way to receive a message by its number unless it was deferred, and to defer what isn't chosen would
hide it from everybody should we die. So lanes receive from the front on, and hold the locks of what they pass until
the last chosen one is out: what is given back sooner comes again at once. Then it is abandoned, which the SDK can't do
without a delivery count; in a dead-letter queue nothing is made of that. What comes again meanwhile because its lock
ended is passed once more. The chosen are a snapshot, and without progress for longer than a lock it is over, so there
is no circle.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.core.delivery import Delivery
from worker.core.failures import BusFailure, BusUnreachable
from worker.core.settlement import Abandon, Complete, LeaveLocked, Settled
from worker.servicebus.connect import Bus, Source
from worker.servicebus.contact import Contact
from worker.servicebus.dead_letters import Browser
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.pauses import pause_s

OUTAGE_S: Final = 30.0  # that a broker may be away
LARGEST_WINDOW: Final = 50  # messages that a lane asks for at once: at 20 ms each they are completed within a second
_MOST_LANES: Final = 8  # each completes one after the other, a round trip each
_WORTH_A_LANE: Final = 50  # messages: to open one takes half a second
_WAIT_S: Final = 0.5
_MORE_S: Final = 0.02
_QUIET_S: Final = 2.0  # without progress: reason to look what is still there
_BEYOND_A_LOCK_S: Final = 5.0
_MOST_KEPT_BYTES: Final = 64 * 1024 * 1024  # of passed messages; the locks of what is beyond end by themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of deliveries: some are done and to be completed, some are to stay where they are."""

    to_complete: Sequence[Delivery] = ()
    to_leave: Sequence[Delivery] = ()


class Work(Protocol):
    """What is done with the chosen ones. Several lanes call it at once."""

    async def ready(self) -> None:
        """Until more may be taken."""

    async def take(self, deliveries: Sequence[Delivery]) -> Taken:
        """What is neither to be completed nor left is given back. Raises `BusFailure`, and then all are."""

    def completed(self, deliveries: Sequence[Delivery]) -> None: ...

    def waits_for_locks(self, count: int) -> None:
        """So many of the chosen are locked by somebody else."""


@dataclass(slots=True, kw_only=True)
class Cleared:
    """Sequence numbers. `gone`: somebody else took them out, or a completion that seemed to fail; `left`: not reached,
    because they were locked, a failure came, or it was stopped.
    """

    completed: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    failure: BusFailure | None = None


class Completing:
    """Fits `Work`: there is nothing more to do. `on_completed`: told how many have just been."""

    def __init__(self, on_completed: Callable[[int], None]) -> None:
        self._on_completed = on_completed

    async def ready(self) -> None:
        pass

    async def take(self, deliveries: Sequence[Delivery]) -> Taken:
        return Taken(to_complete=deliveries)

    def completed(self, deliveries: Sequence[Delivery]) -> None:
        self._on_completed(len(deliveries))

    def waits_for_locks(self, count: int) -> None:
        pass


def lanes_for(count: int) -> int:
    """How many are worth opening for so many messages."""
    return max(1, min(_MOST_LANES, count // _WORTH_A_LANE))


class Clearing:
    """`lock_s`: how long the source's locks last; `window`: messages that a lane asks for at once.

    `cleared`: so far, also where `run` raises.
    """

    def __init__(
        self,
        bus: Bus,
        source: Source,
        *,
        chosen: Iterable[int],
        work: Work,
        contact: Contact,
        lanes: int,
        window: int,
        lock_s: float,
    ) -> None:
        self._bus = bus
        self._source = source
        self._work = work
        self._contact = contact
        self._lanes = [ReceiverLane(bus, source, window=window, lock_s=lock_s) for _ in range(lanes)]
        self._patience_s = lock_s + _BEYOND_A_LOCK_S
        self.cleared = Cleared(left=set(chosen))
        self._passed: dict[int, tuple[ReceiverLane, Delivery]] = {}
        self._passed_bytes = 0
        self._in_hand = 0
        self._progress_at = 0.0
        self._looked_at = float("-inf")
        self._is_stopped = False

    def stop(self) -> None:
        """Once what is in hand is done."""
        self._is_stopped = True

    async def run(self) -> Cleared:
        """Leaves nothing locked that it could give back."""
        self._progress_at = self._now()
        if self.cleared.left:
            try:
                ends = await asyncio.gather(*(self._clear(lane) for lane in self._lanes), return_exceptions=True)
            finally:
                await asyncio.gather(*(self._give_back(lane) for lane in self._lanes))
            for error in filter(None, ends):
                raise error
        return self.cleared

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or self.cleared.failure is not None or not self.cleared.left

    async def _clear(self, lane: ReceiverLane) -> None:
        try:
            await self._opened(lane)
            while not self._is_over:
                deliveries = await self._received(lane)
                if deliveries:
                    await self._deal_with(lane, deliveries)
                elif await self._is_exhausted():
                    return
        except BusFailure as failure:
            self.cleared.failure = self.cleared.failure or failure
        except BaseException:  # the work's own, such as a journal that can't be written: nobody goes on without it
            self.stop()
            raise

    async def _paced(self) -> None:
        """The time that this takes is nobody's fault."""
        began = self._now()
        await self._work.ready()
        self._progress_at += self._now() - began

    async def _received(self, lane: ReceiverLane) -> list[Delivery]:
        await self._paced()
        if self._is_over:
            return []
        deliveries: list[Delivery] = []
        try:
            # A lane hands out few at once before it has seen that many are there.
            while len(deliveries) < lane.window:
                more = await lane.receive(wait_s=_MORE_S if deliveries else _WAIT_S)
                deliveries += more
                if not more:
                    break
        except BusUnreachable:
            await self._opened(lane)
        return deliveries

    async def _deal_with(self, lane: ReceiverLane, deliveries: Sequence[Delivery]) -> None:
        chosen = [each for each in deliveries if each.sequence_number in self.cleared.left]
        taken = Taken()
        self._in_hand += len(chosen)
        try:
            if chosen and not self._is_over:
                taken = await self._work.take(chosen)
                self.cleared.left -= {each.sequence_number for each in taken.to_leave}
                self._progress_at = self._now()
                await self._complete(lane, taken.to_complete)
        finally:
            self._in_hand -= len(chosen)
            ended = {each.lock_token for each in taken.to_complete}
            await self._pass([(lane, each) for each in deliveries if each.lock_token not in ended])

    async def _complete(self, lane: ReceiverLane, deliveries: Sequence[Delivery]) -> None:
        """What has lost its lock comes again, unless it has gone."""
        while deliveries:
            settled = await lane.settle([(delivery, Complete()) for delivery in deliveries])
            by_end = list(zip(deliveries, settled, strict=True))
            done = [delivery for delivery, end in by_end if end is Settled.DONE]
            if done:
                numbers = {delivery.sequence_number for delivery in done}
                self.cleared.completed |= numbers
                self.cleared.left -= numbers
                self._progress_at = self._now()
                self._work.completed(done)
            deliveries = [delivery for delivery, end in by_end if end is Settled.FAILED]
            if deliveries:
                await self._opened(lane)

    async def _pass(self, passed: Iterable[tuple[ReceiverLane, Delivery]]) -> None:
        for lane, delivery in passed:
            known = self._passed.pop(delivery.sequence_number, None)
            if known is not None:
                await self._forget(*known)
            if self._passed_bytes > _MOST_KEPT_BYTES:
                await lane.settle([(delivery, LeaveLocked())])
            else:
                self._passed[delivery.sequence_number] = lane, delivery
                self._passed_bytes += len(delivery.body or b"")

    async def _forget(self, lane: ReceiverLane, delivery: Delivery) -> None:
        """Its lock has ended. Touches no link, so any task may."""
        self._passed_bytes -= len(delivery.body or b"")
        await lane.settle([(delivery, LeaveLocked())])

    async def _is_exhausted(self) -> bool:
        now = self._now()
        if now - self._progress_at > self._patience_s:
            return True
        if self._in_hand == 0 and now - max(self._progress_at, self._looked_at) > _QUIET_S:
            is_first_look, self._looked_at = self._looked_at < self._progress_at, now
            try:
                async with Browser(self._bus, self._source) as browser:
                    there = await browser.which_of(self.cleared.left)
            except BusUnreachable:  # the lanes see to that
                return False
            self.cleared.gone |= self.cleared.left - there
            self.cleared.left &= there
            if self.cleared.left and is_first_look:
                self._work.waits_for_locks(len(self.cleared.left))
        return False

    async def _give_back(self, lane: ReceiverLane) -> None:
        own = [delivery for holder, delivery in self._passed.values() if holder is lane]
        await lane.settle([(delivery, Abandon()) for delivery in own])
        await lane.close()

    async def _opened(self, lane: ReceiverLane) -> None:
        """Raises `BusFailure` once the broker has been away for too long, or when it won't come back."""
        began, failures = self._now(), 0
        while True:
            try:
                await lane.open()
            except BusUnreachable as failure:
                failures += 1
                self._contact.missed(failure)
                if self._is_over or self._now() - began > OUTAGE_S:
                    raise
                await asyncio.sleep(pause_s(failures, draw=random.random()))  # noqa: S311 - jitter, not a secret
            else:
                self._contact.found()
                self._progress_at = max(self._progress_at, self._now())
                return

    def _now(self) -> float:
        return self._bus.limits.loop.time()
