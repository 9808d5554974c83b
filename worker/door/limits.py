"""Who may ask, and how much at once."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from worker.core.door.allowance import Allowance
from worker.core.door.answer import Problem
from worker.core.door.asker import Asker, CallerSpec, caller_of

_BUSY: Final = "The door has as many callers waiting as it takes."


class Refused(Exception):
    """`problem`: what the caller is told; `why`: what the log says more."""

    def __init__(self, problem: Problem, *, why: str | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.why = why


class Limits:
    """`most`: callers waiting at once, over all. `idle` is set while none does."""

    def __init__(self, callers: Sequence[CallerSpec], *, most: int) -> None:
        self._callers = callers
        self._most = most
        self._allowances: dict[str, Allowance] = {}
        self.in_hand = 0
        self.idle = asyncio.Event()
        self.idle.set()

    def caller(self, asker: Asker) -> CallerSpec:
        """Raises `Refused`."""
        caller = caller_of(asker, self._callers)
        if caller is None:
            detail = "This identity may not ask here. Have its object or application id, or a role of its, added."
            why = f"no caller is configured for object {asker.object_id} (application {asker.app_id or 'unknown'})"
            raise Refused(Problem(status=403, kind="not-allowed", detail=detail), why=why)
        return caller

    @contextmanager
    def entered(self, caller: CallerSpec) -> Iterator[None]:
        """For as long as a request of this caller is in hand. Raises `Refused`."""
        allowance = self._allowances.get(caller.name)
        if allowance is None:
            allowance = Allowance(rate_per_s=caller.rate_per_s, concurrency=caller.concurrency)
            self._allowances[caller.name] = allowance
        if self.in_hand >= self._most:
            raise Refused(Problem(status=503, kind="busy", detail=_BUSY, retry_after_s=1))
        again_in_s = allowance.enter(asyncio.get_running_loop().time())
        if again_in_s is not None:
            detail = f"Caller {caller.name} asks for more than it may at once."
            raise Refused(
                Problem(status=429, kind="too-many", detail=detail, retry_after_s=max(1, math.ceil(again_in_s)))
            )
        self.in_hand += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.in_hand -= 1
            allowance.leave()
            if self.in_hand == 0:
                self.idle.set()
