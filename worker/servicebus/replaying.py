"""Sending chosen dead letters again: write down, send, write down, and only then complete.

Lanes hand in what they received; while a batch is on its way the next one gathers. A kill between two steps leaves a
line that says how far it came, and the next replay goes on from there.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

from worker.core.dead_letters.copying import copy_of
from worker.core.dead_letters.journal import MOST_WITNESSES, Step
from worker.core.dead_letters.pace import Pace
from worker.core.dead_letters.selection import Plan, is_untouched
from worker.core.delivery import Delivery
from worker.core.failures import BusUnreachable, Misconfigured
from worker.core.redelivery import Copy
from worker.servicebus.clearing import OUTAGE_S, Taken
from worker.servicebus.connect import Bus, QueueSource
from worker.servicebus.contact import Contact
from worker.servicebus.dead_letters import Browser
from worker.servicebus.pauses import pause_s
from worker.servicebus.resending import Resender

_LEAST_LOCK_S: Final = 1.0  # that must be left of a lock for sending to begin: somebody else may have it then


class Journal(Protocol):
    def write(self, step: Step, copies: Iterable[Copy]) -> None:
        """What this raises ends the replay."""


class Replay:
    """Fits `clearing.Work`. `sent`, `failed` (with why) and `in_doubt` are by sequence number.

    `on_completed`, `on_locked`: told how many have just been completed, and how many are locked by somebody else.
    """

    def __init__(
        self,
        bus: Bus,
        resender: Resender,
        *,
        queue: str,
        plan: Plan,
        journal: Journal,
        pace: Pace,
        contact: Contact,
        to_flow: str | None = None,
        on_completed: Callable[[int], None],
        on_locked: Callable[[int], None],
    ) -> None:
        self.sent: set[int] = set()
        self.failed: dict[int, str] = {}
        self.in_doubt: set[int] = set()
        self._bus = bus
        self._resender = resender
        self._queue = queue
        self._plan = plan
        self._journal = journal
        self._pace = pace
        self._contact = contact
        self._to_flow = to_flow
        self._on_completed = on_completed
        self._on_locked = on_locked
        self._last_sent: deque[str] = deque(maxlen=MOST_WITNESSES)
        self._waiting: list[Delivery] = []
        self._turn = asyncio.Lock()
        self._is_stopped = asyncio.Event()

    def stop(self) -> None:
        """What isn't on its way yet stays."""
        self._is_stopped.set()

    async def ready(self) -> None:
        if not self._turn.locked():
            await self._pause(self._pace.wait_s(self._now()))

    async def take(self, deliveries: Sequence[Delivery]) -> Taken:
        self._waiting += [each for each in deliveries if not self._is_sent(each)]
        async with self._turn:
            await self._send_waiting()
        stay = self.failed.keys() | self.in_doubt
        return Taken(
            to_complete=[each for each in deliveries if self._is_sent(each)],
            to_leave=[each for each in deliveries if each.sequence_number in stay],
        )

    def completed(self, deliveries: Sequence[Delivery]) -> None:
        self._journal.write(Step.COMPLETED, [copy_of(each, to_flow=self._to_flow) for each in deliveries])
        self._on_completed(len(deliveries))

    def waits_for_locks(self, count: int) -> None:
        self._on_locked(count)

    def _is_sent(self, delivery: Delivery) -> bool:
        """Here, or by an earlier replay."""
        return delivery.sequence_number in self.sent or delivery.sequence_number in self._plan.sent

    async def _send_waiting(self) -> None:
        deliveries, self._waiting = self._waiting, []
        while deliveries and not self._is_stopped.is_set():
            granted = self._pace.take(len(deliveries), self._now())
            if granted == 0:
                await self._pause(self._pace.wait_s(self._now()))
                continue
            now = self._now()
            held = [each for each in deliveries[:granted] if each.locked_until - now > _LEAST_LOCK_S]
            await self._send([copy_of(each, to_flow=self._to_flow) for each in held])
            deliveries = deliveries[granted:]

    async def _send(self, copies: Sequence[Copy]) -> None:
        failures, began = 0, self._now()
        while copies:
            resent = await self._resender.send(copies, announce=partial(self._journal.write, Step.SENDING))
            self._has_sent(resent.sent)
            self._journal.write(Step.UNSENT, [refusal.copy for refusal in resent.refused])
            for refusal in resent.refused:
                self.failed[refusal.copy.original.sequence_number] = refusal.why
            if resent.failure is None:
                self._contact.found()
                return
            if failures and not resent.sent:  # the first may be of this link alone
                self._contact.missed(resent.failure)
            failures = 0 if resent.sent else failures + 1
            began = self._now() if resent.sent else began
            if isinstance(resent.failure, Misconfigured) or self._now() - began > OUTAGE_S or self._is_stopped.is_set():
                raise resent.failure  # the next replay looks for what is in doubt
            await self._pause(pause_s(failures + 1, draw=random.random()))  # noqa: S311 - jitter, not a secret
            copies = [*resent.unsent, *await self._lost(resent.in_doubt)]

    async def _lost(self, copies: Sequence[Copy]) -> list[Copy]:
        """Those that may be sent once more. What has arrived is sent; of the others a worker may have taken some."""
        if not copies:
            return []
        there = await self._arrived([*self._last_sent, *(copy.message_id for copy in copies)])
        has_all = is_untouched(self._last_sent, there)
        self._has_sent([copy for copy in copies if copy.message_id in there])
        again: list[Copy] = []
        for copy in copies:
            number = copy.original.sequence_number
            if copy.message_id in there:
                continue
            if has_all or self._plan.may_go_twice(self._plan.chosen[number]):
                again.append(copy)
            else:
                self.in_doubt.add(number)
        return again

    async def _arrived(self, copy_ids: Collection[str]) -> set[str]:
        """Raises `BusUnreachable` once the broker has been away for too long."""
        began, failures = self._now(), 0
        while True:
            try:
                there = await arrived(self._bus, self._queue, copy_ids)
            except BusUnreachable as failure:
                failures += 1
                self._contact.missed(failure)
                if self._now() - began > OUTAGE_S or self._is_stopped.is_set():
                    raise
                await self._pause(pause_s(failures, draw=random.random()))  # noqa: S311 - jitter, not a secret
            else:
                self._contact.found()
                return there

    def _has_sent(self, copies: Sequence[Copy]) -> None:
        self._last_sent += [copy.message_id for copy in copies]
        self.sent |= {copy.original.sequence_number for copy in copies}
        self._journal.write(Step.SENT, copies)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._is_stopped.wait()

    def _now(self) -> float:
        return self._bus.limits.loop.time()


async def arrived(bus: Bus, queue: str, copy_ids: Collection[str]) -> set[str]:
    """Which of these are in the queue: none where we may not look, because we may only send there."""
    try:
        async with Browser(bus, QueueSource(queue=queue)) as browser:
            return await browser.arrived(copy_ids)
    except Misconfigured:
        return set()
