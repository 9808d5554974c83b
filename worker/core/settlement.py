"""How a delivery ends at the request queue."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from worker.core.outcome import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Back to the queue, at one delivery count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    reason: Reason
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveLocked:
    """Nothing to say to the broker: the lock is already gone, or expires by itself."""


Settlement: TypeAlias = Complete | Abandon | DeadLetter | LeaveLocked


class Settled(StrEnum):
    """What the broker made of a settlement."""

    DONE = "done"
    LOCK_LOST = "lock_lost"  # it goes, or went, to somebody else; also the answer to a repeat of one that was applied
    FAILED = "failed"  # not confirmed; may be said again while the lock lives
