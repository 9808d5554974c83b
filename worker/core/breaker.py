"""Circuit breaker of one flow: a sliding window of calls, an open time that grows, a few probes."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from worker.core.flow_spec import BreakerSpec
from worker.core.response import Sign

BUCKETS: Final = 10
MOST_DOUBLINGS: Final = 3  # of the open time, one with every failed probe in a row


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one call, to be recorded or given back. Void once the circuit has changed or was reset."""

    epoch: int
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUntil:
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeUnderWay:
    """Half-open, all probes out: their end decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """Kept open by hand: no time and no call ends it."""


Refusal: TypeAlias = OpenUntil | ProbeUnderWay | Isolated


@dataclass(slots=True)
class _Tally:
    calls: int = 0
    failures: int = 0
    slow: int = 0

    def add(self, calls: int, failures: int, slow: int) -> None:
        self.calls += calls
        self.failures += failures
        self.slow += slow


class _Window:
    """Calls of the last `window_s`, counted when they end; whole buckets leave, so some stay a tenth longer."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self._window_s = window_s
        self._buckets: deque[tuple[float, _Tally]] = deque()  # with their ends, oldest first
        self._total = _Tally()

    def count(self, now: float, *, is_failure: bool, is_slow: bool) -> _Tally:
        """The sum over the window, this call included."""
        while self._buckets and self._buckets[0][0] <= now - self._window_s:
            _, gone = self._buckets.popleft()
            self._total.add(-gone.calls, -gone.failures, -gone.slow)
        if not self._buckets or self._buckets[-1][0] <= now:
            self._buckets.append((now + self._bucket_s, _Tally()))
        for tally in (self._buckets[-1][1], self._total):
            tally.add(1, is_failure, is_slow)
        return self._total


class _Closed:
    def __init__(self, spec: BreakerSpec) -> None:
        self.window = _Window(spec.window_s)


@dataclass(frozen=True, slots=True)
class _Open:
    until: float


@dataclass(slots=True)
class _HalfOpen:
    probes: set[Permit] = field(default_factory=set)  # never more than the spec's: those given back are gone
    succeeded: set[Permit] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Isolated:
    pass


_State: TypeAlias = _Closed | _Open | _HalfOpen | _Isolated


class Breaker:
    """Every answer, a refusal too, proves life; silence, 5xx and slowness speak against the flow."""

    def __init__(self, spec: BreakerSpec) -> None:
        self._spec = spec
        self._state: _State = _Closed(spec)
        self._epoch = 0
        self._permits = 0
        self._openings_in_a_row = 0
        self.openings = 0

    def circuit(self, now: float) -> Circuit:
        self._advance(now)
        match self._state:
            case _Closed():
                return Circuit.CLOSED
            case _Open():
                return Circuit.OPEN
            case _HalfOpen():
                return Circuit.HALF_OPEN
            case _Isolated():
                return Circuit.ISOLATED
        assert_never(self._state)

    def reopens_at(self, now: float) -> float | None:
        """When calls may be made again; None unless the circuit is open, and not by hand."""
        self._advance(now)
        return self._state.until if isinstance(self._state, _Open) else None

    def refusal(self, now: float) -> Refusal | None:
        """What `admit` would say, without taking a permit."""
        self._advance(now)
        match self._state:
            case _Closed():
                return None
            case _Open(until=until):
                return OpenUntil(at=until)
            case _HalfOpen(probes=probes):
                return None if len(probes) < self._spec.probes else ProbeUnderWay()
            case _Isolated():
                return Isolated()
        assert_never(self._state)

    def admit(self, now: float) -> Permit | Refusal:
        refusal = self.refusal(now)
        if refusal is not None:
            return refusal
        self._permits += 1
        permit = Permit(self._epoch, self._permits)
        if isinstance(self._state, _HalfOpen):
            self._state.probes.add(permit)
        return permit

    def record(self, permit: Permit, sign: Sign, *, took_s: float, now: float) -> None:
        if permit.epoch != self._epoch:
            return
        is_failure = sign is Sign.FAILED
        is_slow = took_s >= self._spec.slow_s
        match self._state:
            case _Closed(window=window):
                if self._speaks_against(window.count(now, is_failure=is_failure, is_slow=is_slow)):
                    self._open(now)
            case _HalfOpen() as half_open:
                self._judge_probe(half_open, permit, is_good=not is_failure and not is_slow, now=now)
            case _Open() | _Isolated():
                pass  # unreachable: entering them voids every permit
            case _:
                assert_never(self._state)

    def give_back(self, permit: Permit) -> None:
        """The call ended without a word about the flow. Nothing happens to a permit that was recorded."""
        if isinstance(self._state, _HalfOpen) and permit not in self._state.succeeded:
            self._state.probes.discard(permit)

    def isolate(self) -> None:
        """Refuses every call until `reset`."""
        self._enter(_Isolated())

    def reset(self) -> None:
        """Closes the circuit in any state: an empty window, and the growth of the open time forgotten."""
        self._openings_in_a_row = 0
        self._enter(_Closed(self._spec))

    def _judge_probe(self, half_open: _HalfOpen, permit: Permit, *, is_good: bool, now: float) -> None:
        """A call sent twice, for a fresh token, is recorded twice: it succeeds once, but may still fail."""
        if permit not in half_open.probes:
            return
        if not is_good:
            self._open(now)
            return
        half_open.succeeded.add(permit)
        if len(half_open.succeeded) == self._spec.probes:
            self.reset()

    def _speaks_against(self, window: _Tally) -> bool:
        return window.calls >= self._spec.min_calls and (
            # Not multiplied: 7 of 25 are 0.28, but 0.28 * 25 is more than 7.
            window.failures / window.calls >= self._spec.failure_ratio
            or window.slow / window.calls >= self._spec.slow_ratio
        )

    def _open(self, now: float) -> None:
        growth = 2 ** min(self._openings_in_a_row, MOST_DOUBLINGS)
        self._openings_in_a_row += 1
        self.openings += 1
        self._enter(_Open(now + self._spec.open_s * growth))

    def _advance(self, now: float) -> None:
        if isinstance(self._state, _Open) and now >= self._state.until:
            self._enter(_HalfOpen())

    def _enter(self, state: _State) -> None:
        self._state = state
        self._epoch += 1
