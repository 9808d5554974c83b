"""How many calls of one flow may be in flight: grown by what goes well, cut by what the flow can't take."""

from enum import Enum, auto
from http import HTTPStatus
from math import log
from typing import Final, assert_never

from worker.core.outcome import Answered, Indeterminate, Reason, Refused, Running, Unavailable
from worker.core.response import NO_RESPONSE, AttemptResult

CUT: Final = 0.7  # what a strained round trip leaves of the limit
# A flow fails some calls for reasons of its own. Cutting at each, one in a hundred would hold a limit of 100 near 16.
STRAIN_CALLS: Final = 30
TOLERATED_STRAIN: Final = 0.1

EASING: Final = 0.8  # what slowness leaves of it: a hint, where a 429 is a word
RECENT_CALLS: Final = 50
USUAL_TO_RECENT: Final = 40  # how many times as many calls make up what is usual
SLOWER: Final = log(2.0)
NO_LONGER_SLOWER: Final = SLOWER / 3
# Slowness takes the limit no lower than this share of what it was: worse congestion shows itself as time-outs.
LEAST_EASED: Final = 1 / 3
LEAST_TOLD_APART_S: Final = 0.001


class Strain(Enum):
    """What the end of a call says of the flow's load."""

    NONE = auto()  # the flow's own answer
    THROTTLED = auto()  # 429
    OVERLOADED = auto()  # 503 and other 5xx, a time-out
    UNKNOWN = auto()  # nothing: cancelled, connection refused


def strain_of(result: AttemptResult) -> Strain:
    if isinstance(result, Running):
        return Strain.NONE
    match result.outcome:
        case Answered() | Indeterminate(code=Reason.TOO_LARGE.value):
            return Strain.NONE
        case Refused(run_id=run_id):
            return Strain.UNKNOWN if run_id is None else Strain.NONE  # the trigger's no comes whatever the load
        case Unavailable(http_status=status):
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                return Strain.THROTTLED
            return Strain.UNKNOWN if status is None else Strain.OVERLOADED
        case Indeterminate(http_status=status, code=code):
            # Silence is a time-out or a lost connection. A run without a Response is the flow's own mistake, and an
            # answer cut off the network's.
            is_silence = status is None
            is_platforms = status is not None and status >= 500 and code != NO_RESPONSE
            return Strain.OVERLOADED if is_silence or is_platforms else Strain.UNKNOWN
    assert_never(result.outcome)


class _Latency:
    """Whether calls have become slower of late: two moving averages of ln(seconds).

    Of the logarithm, because a single call of 100 s among many of 0.2 s would be most of an average of seconds.
    """

    def __init__(self) -> None:
        self.is_raised = False
        self._calls = 0
        self._recent = 0.0
        self._usual = 0.0

    def add(self, took_s: float, *, recent_calls: float) -> bool:
        """Whether this call was slower than usual itself."""
        self._calls += 1
        ln_s = log(max(took_s, LEAST_TOLD_APART_S))
        self._recent += (ln_s - self._recent) / min(self._calls, recent_calls)
        self._usual += (ln_s - self._usual) / min(self._calls, USUAL_TO_RECENT * recent_calls)
        self.is_raised = self._recent - self._usual > (NO_LONGER_SLOWER if self.is_raised else SLOWER)
        return ln_s - self._usual > NO_LONGER_SLOWER

    def accept(self) -> None:
        """The present speed is the flow's own."""
        self._usual = self._recent
        self.is_raised = False


class AdaptiveLimit:
    """Between 1 and `cap`; starts there, so a flow that bears the cap never notices.

    Only calls started after the last decrease count: those before tell of the old limit. So a round trip makes one
    decrease at most.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._limit = float(cap)
        self._decreased_at = float("-inf")
        self._strain = 0.0  # share of strained calls, a moving average
        self._latency = _Latency()
        self._slow_calls = 0  # since latency rose, or the last decrease
        self._limit_before_slowness = self._limit

    @property
    def limit(self) -> int:
        return int(self._limit)

    def set_cap(self, cap: int) -> None:
        """The limit keeps its share of the cap: the flow can take as much as before, and others call it, too."""
        self._limit = max(1.0, self._limit * cap / self._cap)  # in this order it is exact at the cap
        self._limit_before_slowness = self._limit
        self._cap = cap

    def ended(self, strain: Strain, *, started_at: float, took_s: float, in_flight: int, now: float) -> None:
        """`in_flight`: calls under way when this one ended, itself included."""
        if started_at <= self._decreased_at:
            return
        match strain:
            case Strain.NONE:
                self._strain -= self._strain / STRAIN_CALLS
                self._answered(took_s, in_flight, now)
            case Strain.THROTTLED:
                self._decrease(CUT, now)
            case Strain.OVERLOADED:
                self._strain += (1.0 - self._strain) / STRAIN_CALLS
                if self._strain > TOLERATED_STRAIN:
                    self._decrease(CUT, now)
            case Strain.UNKNOWN:
                pass
            case _:
                assert_never(strain)

    def _answered(self, took_s: float, in_flight: int, now: float) -> None:
        # Calls of one round trip aren't independent: what is recent spans at least one.
        recent_calls = max(RECENT_CALLS, self._limit)
        is_slow = self._latency.add(took_s, recent_calls=recent_calls)
        is_used = 2 * in_flight >= self._limit
        if self._latency.is_raised:
            self._slow_calls += is_slow and is_used
            if self._slow_calls >= recent_calls:
                self._ease(now)
            return
        self._slow_calls = 0
        if is_used:
            self._limit = min(self._cap, self._limit + 1.0 / self._limit)
        self._limit_before_slowness = self._limit

    def _ease(self, now: float) -> None:
        if self._limit <= max(1.0, LEAST_EASED * self._limit_before_slowness):
            self._latency.accept()  # fewer calls at once didn't make them faster
        else:
            self._decrease(EASING, now)

    def _decrease(self, factor: float, now: float) -> None:
        self._limit = max(1.0, self._limit * factor)
        self._decreased_at = now
        self._slow_calls = 0
