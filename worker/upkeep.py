"""What goes on beside the requests: the intake follows the tokens, limits the size of the fleet, URLs their secrets.

And somebody looks whether the event loop itself keeps up.
"""

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from worker.bridge.pump import Pump
from worker.core.loop_lag import LoopLag
from worker.flow.client import FlowClient
from worker.flow.fleet import Fleet
from worker.flow.token import Credential

TOKENS_EVERY_S: Final = 1.0  # at the latest; a token also runs out without anybody saying so
FLEET_EVERY_S: Final = 5.0
LOOP_EVERY_S: Final = 0.25
CLEANED_EVERY_S: Final = 30.0  # a collection holds up the loop for some tens of milliseconds
URLS_EVERY_S: Final = 5.0  # a mounted secret follows its source within a minute or so anyway

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """`mounted`: by flow, what reads the URL that its file holds now, and says what is wrong with it."""

    pump: Pump
    client: FlowClient
    credential: Credential
    fleet: Fleet
    lag: LoopLag
    mounted: Mapping[str, Callable[[], tuple[str, str | None]]]

    def begin(self) -> None:
        """To be called before the pump runs: from its start on, nothing is received that couldn't be called."""
        self._let_in()
        self.client.set_workers(self.fleet.workers)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_loop(self.lag))
            tasks.create_task(self._clean_up_after_outages())
            tasks.create_task(self._follow_tokens())
            if self.fleet.name is not None:
                tasks.create_task(self._follow_fleet())
            for flow, read in self.mounted.items():
                tasks.create_task(self._follow_url(flow, read))

    async def _clean_up_after_outages(self) -> None:
        """Each lost link leaves cycles of the SDK's, which Python would let grow to twice the worker's size."""
        loop = asyncio.get_running_loop()
        was_out, cleaned_at = False, loop.time()
        while True:
            await asyncio.sleep(LOOP_EVERY_S)
            is_out = self.pump.facts.failure is not None
            was_out |= is_out
            if was_out and not is_out and loop.time() - cleaned_at >= CLEANED_EVERY_S:
                gc.collect()
                was_out, cleaned_at = False, loop.time()

    async def _follow_tokens(self) -> None:
        while True:
            changed = self.credential.changed()
            self._let_in()
            with suppress(TimeoutError):
                async with asyncio.timeout(TOKENS_EVERY_S):
                    await changed

    def _let_in(self) -> None:
        """Without a flow that could be called, requests wait in the queue."""
        is_paused = not self.client.may_call_any
        if is_paused is not self.pump.facts.is_paused:
            _log.info("intake_paused" if is_paused else "intake_opened")
            self.pump.pause(is_paused=is_paused)

    async def _follow_fleet(self) -> None:
        fleet = self.fleet
        while True:
            before, failed_before = fleet.workers, fleet.failure
            await fleet.count()
            if fleet.failure != failed_before and fleet.failure is not None:
                _log.warning("fleet_not_counted", failure=fleet.failure, workers=fleet.workers)
            if fleet.workers != before:
                _log.info("fleet_counted", workers=fleet.workers, before=before)
                self.client.set_workers(fleet.workers)
            await asyncio.sleep(FLEET_EVERY_S)

    async def _follow_url(self, flow: str, read: Callable[[], tuple[str, str | None]]) -> None:
        """A file that can't be used leaves the flow as it was, and is said once."""
        said: str | None = None
        while True:
            await asyncio.sleep(URLS_EVERY_S)
            url, problem = read()
            if problem is not None and problem != said:
                _log.warning("flow_url_refused", flow=flow, problem=problem)
            elif problem is None and self.client.move(flow, url):
                _log.info("flow_url_reloaded", flow=flow)
            said = problem


async def watch_loop(lag: LoopLag) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_EVERY_S
        await asyncio.sleep(LOOP_EVERY_S)
        now = loop.time()
        if lag.note(now - due, now):
            _log.warning("loop_held_up", seconds=round(now - due, 3))
