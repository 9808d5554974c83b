"""Whether this worker should be sent work, and in words why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DRAINING: Final = "draining: the worker finishes what it has and takes nothing new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`reasons` is empty exactly when the worker is ready."""

    reasons: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return not self.reasons


def readiness(
    *,
    is_draining: bool,
    is_paused: bool,
    lanes_receiving: int,
    bus_failure: str | None,
    token_failure: str | None,
    loop_failure: str | None,
) -> Readiness:
    """One lane is enough: a worker with a connection in trouble still answers."""
    reasons = []
    if is_draining:
        reasons.append(DRAINING)
    elif lanes_receiving == 0 and (bus_failure is not None or not is_paused):
        reasons.append(f"not receiving: {bus_failure or 'connecting to the request queue'}")
    if token_failure is not None:
        reasons.append(f"no token for the flows: {token_failure}")
    if loop_failure is not None:
        reasons.append(f"held up: {loop_failure}; give the worker more CPU, or less concurrency")
    return Readiness(reasons=tuple(reasons))


def readiness_of_all(processes: Sequence[Readiness], *, is_draining: bool) -> Readiness:
    """Of one worker in several processes, as it is of lanes: one is enough."""
    if is_draining:
        return Readiness(reasons=(DRAINING,))
    if any(each.is_ready for each in processes):
        return Readiness(reasons=())
    named = (f"process {number}: {reason}" for number, each in enumerate(processes) for reason in each.reasons)
    return Readiness(reasons=tuple(named))
