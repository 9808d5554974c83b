"""A lane without its broker: why, and how long until it tries again."""

import random
from typing import Final

import structlog

from worker.core.failures import BusFailure, Misconfigured

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0  # so that the worker is back within 3 s of the broker
_LONGEST_PAUSE_MISCONFIGURED_S: Final = 15.0

_log = structlog.stdlib.get_logger(__name__)


class Outage:
    """`why` is None while there is none."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.count = 0
        self._failures = 0  # in a row, since something was last heard

    def heard(self) -> None:
        self._failures = 0

    def ended(self) -> None:
        if self.why is not None:
            _log.info("lane_recovered")
        self.why = None

    def given_up(self) -> None:
        """Nobody tries any more."""
        self.why, self._failures = None, 0

    def began(self, failure: BusFailure) -> float:
        """Seconds to pause: full jitter."""
        self.count += self.why is None
        if str(failure) != self.why:
            _log.warning("lane_failed", failure=str(failure), kind=type(failure).__name__)
        self.why = str(failure)
        longest_s = _LONGEST_PAUSE_MISCONFIGURED_S if isinstance(failure, Misconfigured) else _LONGEST_PAUSE_S
        bound_s = min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return random.uniform(0.1, bound_s)  # noqa: S311 - jitter
