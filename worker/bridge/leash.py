"""What can end the work on a request early."""

import asyncio
from collections.abc import Container, Coroutine
from enum import Enum
from typing import Any, Final, TypeVar

T = TypeVar("T")


class CutReason(Enum):
    LOCK_LOST = "the lock on the request was lost"
    STOPPING = "the worker is stopping"
    DRAIN_OVER = "the worker is stopping and could wait no longer"
    STOP_NOW = "the worker stopped"


CUTS_A_CALL: Final = frozenset({CutReason.LOCK_LOST, CutReason.DRAIN_OVER, CutReason.STOP_NOW})
CUTS_A_WAIT: Final = frozenset(CutReason)  # for what has not begun, or may begin anew
CUTS_A_REPLY: Final = frozenset({CutReason.LOCK_LOST, CutReason.STOP_NOW})  # a drained worker still answers


class CutShort(Exception):
    """What was awaited under the leash was cancelled because of `reason`."""

    def __init__(self, reason: CutReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Leash:
    """Held by a request's work; cut by whoever keeps its lock, from outside the work's own task."""

    def __init__(self) -> None:
        self._cuts: list[CutReason] = []
        self._cut_by: Container[CutReason] = ()
        self._cut_short_by: CutReason | None = None  # what is awaited now
        self._task: asyncio.Task[Any] | None = None  # that awaits it

    def cut(self, reason: CutReason) -> None:
        """Takes effect before the work's next step, also where that is due already.

        After a standstill of the loop everything is due at once: the end of a lock, and the call that it forbids.
        """
        self._cuts.append(reason)
        if self._task is not None and self._cut_short_by is None and reason in self._cut_by:
            self._cut_short_by = reason
            self._task.cancel()

    async def hold(self, work: Coroutine[Any, Any, T], *, cut_by: Container[CutReason]) -> T:
        """The result of `work`, or `CutShort` after it was cancelled. Cancellation from outside passes through.

        `cut_by` is asked when a cut comes, so its answer may change while `work` goes on.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("work is held in a task")
        if (reason := self._first_of(cut_by)) is not None:
            work.close()
            raise CutShort(reason)
        cancelling = task.cancelling()
        self._task, self._cut_by, self._cut_short_by = task, cut_by, None
        try:
            return await work
        except asyncio.CancelledError:
            if self._cut_short_by is None or task.cancelling() > cancelling + 1:
                raise
            raise CutShort(self._cut_short_by) from None
        finally:
            if self._cut_short_by is not None:
                task.uncancel()
            self._task = None

    def _first_of(self, reasons: Container[CutReason]) -> CutReason | None:
        return next((cut for cut in self._cuts if cut in reasons), None) if self._cuts else None
