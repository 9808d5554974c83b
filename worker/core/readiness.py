"""Whether this worker should be sent work, and in words why not."""

from dataclasses import dataclass


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
        reasons.append("draining: the worker finishes what it has and takes nothing new")
    elif lanes_receiving == 0 and (bus_failure is not None or not is_paused):
        reasons.append(f"not receiving: {bus_failure or 'connecting to the request queue'}")
    if token_failure is not None:
        reasons.append(f"no token for the flows: {token_failure}")
    if loop_failure is not None:
        reasons.append(f"held up: {loop_failure}; give the worker more CPU, or less concurrency")
    return Readiness(reasons=tuple(reasons))
