from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from worker.core.breaker import MOST_DOUBLINGS, Breaker, Circuit, Isolated, OpenUntil, Permit, ProbeUnderWay
from worker.core.flow_spec import BreakerSpec
from worker.core.response import Sign

SPEC = BreakerSpec(window_s=30.0, min_calls=4, failure_ratio=0.5, slow_s=10.0, slow_ratio=0.75, open_s=15.0, probes=1)


TWO_PROBES = BreakerSpec(min_calls=4, probes=2)


def admitted(breaker: Breaker, *, now: float) -> Permit:
    permit = breaker.admit(now)
    assert isinstance(permit, Permit)
    return permit


def call(breaker: Breaker, sign: Sign, *, now: float, took_s: float = 0.1) -> None:
    breaker.record(admitted(breaker, now=now), sign, took_s=took_s, now=now)


def opened(spec: BreakerSpec = SPEC, *, now: float = 0.0) -> Breaker:
    breaker = Breaker(spec)
    for _ in range(spec.min_calls):
        call(breaker, Sign.FAILED, now=now)
    assert breaker.circuit(now) is Circuit.OPEN
    return breaker


def test_failures_below_the_least_number_of_calls_mean_nothing() -> None:
    breaker = Breaker(SPEC)
    for _ in range(3):
        call(breaker, Sign.FAILED, now=0.0)
    assert breaker.circuit(0.0) is Circuit.CLOSED


def test_half_of_the_calls_failing_opens_the_circuit() -> None:
    breaker = Breaker(SPEC)
    for sign in (Sign.ALIVE, Sign.FAILED, Sign.ALIVE):
        call(breaker, sign, now=0.0)
    assert breaker.circuit(0.0) is Circuit.CLOSED
    call(breaker, Sign.FAILED, now=0.0)
    assert breaker.circuit(0.0) is Circuit.OPEN
    assert breaker.reopens_at(0.0) == 15.0
    assert breaker.admit(14.9) == OpenUntil(at=15.0)


def test_a_ratio_that_is_met_exactly_opens_the_circuit_whatever_its_digits() -> None:
    for spec, sign, took_s in (
        (BreakerSpec(min_calls=25, failure_ratio=0.28), Sign.FAILED, 0.1),
        (BreakerSpec(min_calls=25, slow_ratio=0.28), Sign.ALIVE, 60.0),
    ):
        breaker = Breaker(spec)
        for _ in range(18):
            call(breaker, Sign.ALIVE, now=0.0)
        for _ in range(7):
            assert breaker.circuit(0.0) is Circuit.CLOSED
            call(breaker, sign, now=0.0, took_s=took_s)
        assert breaker.circuit(0.0) is Circuit.OPEN


def test_slow_answers_open_the_circuit_too() -> None:
    breaker = Breaker(SPEC)
    for took_s in (10.0, 10.0, 10.0, 0.1):
        call(breaker, Sign.ALIVE, now=0.0, took_s=took_s)
    assert breaker.circuit(0.0) is Circuit.OPEN


bad_calls = pytest.mark.parametrize(
    ("sign", "took_s"), [(Sign.FAILED, 0.1), (Sign.ALIVE, 10.0)], ids=["failed", "slow"]
)


@bad_calls
@pytest.mark.parametrize(("fourth_at", "circuit"), [(30.0, Circuit.OPEN), (32.9, Circuit.OPEN), (33.0, Circuit.CLOSED)])
def test_bad_calls_leave_the_window_with_time(sign: Sign, took_s: float, fourth_at: float, circuit: Circuit) -> None:
    breaker = Breaker(SPEC)
    for _ in range(3):
        call(breaker, sign, now=0.0, took_s=took_s)
    call(breaker, Sign.ALIVE, now=fourth_at)
    assert breaker.circuit(fourth_at) is circuit


@bad_calls
def test_bad_calls_that_left_the_window_say_nothing_about_later_ones(sign: Sign, took_s: float) -> None:
    breaker = Breaker(SPEC)
    for _ in range(3):
        call(breaker, sign, now=0.0, took_s=took_s)
    for _ in range(4):
        call(breaker, Sign.ALIVE, now=33.0)
        assert breaker.circuit(33.0) is Circuit.CLOSED


def test_half_open_admits_only_its_probes() -> None:
    breaker = opened()
    assert isinstance(breaker.admit(15.0), Permit)
    assert breaker.admit(15.0) == ProbeUnderWay()
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN


def test_a_probe_that_succeeds_closes_and_forgets() -> None:
    breaker = opened()
    call(breaker, Sign.ALIVE, now=15.0)
    assert breaker.circuit(15.0) is Circuit.CLOSED
    for _ in range(3):
        call(breaker, Sign.FAILED, now=15.0)
    assert breaker.circuit(15.0) is Circuit.CLOSED


def test_the_open_time_doubles_up_to_its_limit_and_starts_anew_after_success() -> None:
    breaker = opened()
    now, waits_s = 0.0, []
    for _ in range(6):
        reopens_at = breaker.reopens_at(now)
        assert reopens_at is not None
        waits_s.append(reopens_at - now)
        now = reopens_at
        call(breaker, Sign.FAILED, now=now)
    assert waits_s == [15.0, 30.0, 60.0, 120.0, 120.0, 120.0]
    now += 120.0
    call(breaker, Sign.ALIVE, now=now)
    for _ in range(4):
        call(breaker, Sign.FAILED, now=now)
    assert breaker.reopens_at(now) == now + 15.0


def test_a_probe_that_is_slow_reopens_the_circuit() -> None:
    breaker = opened()
    breaker.record(admitted(breaker, now=15.0), Sign.ALIVE, took_s=10.0, now=25.0)
    assert breaker.circuit(25.0) is Circuit.OPEN


def test_all_probes_must_succeed_to_close_the_circuit() -> None:
    breaker = opened(TWO_PROBES)
    first, second = admitted(breaker, now=15.0), admitted(breaker, now=15.0)
    breaker.record(first, Sign.ALIVE, took_s=0.1, now=15.0)
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN
    breaker.record(second, Sign.ALIVE, took_s=0.1, now=15.0)
    assert breaker.circuit(15.0) is Circuit.CLOSED


def test_the_first_probe_that_fails_reopens_and_the_others_say_nothing() -> None:
    breaker = opened(TWO_PROBES)
    first, second = admitted(breaker, now=15.0), admitted(breaker, now=15.0)
    breaker.record(first, Sign.FAILED, took_s=0.1, now=15.0)
    breaker.record(second, Sign.FAILED, took_s=0.1, now=16.0)
    assert breaker.admit(16.0) == OpenUntil(at=45.0)


def test_a_probe_given_back_makes_room_for_another() -> None:
    breaker = opened()
    breaker.give_back(admitted(breaker, now=15.0))
    assert isinstance(breaker.admit(15.0), Permit)


def test_a_probe_given_back_cannot_be_recorded() -> None:
    breaker = opened()
    permit = admitted(breaker, now=15.0)
    breaker.give_back(permit)
    breaker.record(permit, Sign.ALIVE, took_s=0.1, now=15.0)
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN


def test_a_recorded_probe_cannot_be_given_back() -> None:
    breaker = opened(TWO_PROBES)
    first = admitted(breaker, now=15.0)
    breaker.record(first, Sign.ALIVE, took_s=0.1, now=15.0)
    breaker.give_back(first)
    assert isinstance(breaker.admit(15.0), Permit)
    assert breaker.admit(15.0) == ProbeUnderWay()


def test_a_probe_recorded_twice_counts_once() -> None:
    breaker = opened(TWO_PROBES)
    probe = admitted(breaker, now=15.0)
    for _ in range(2):
        breaker.record(probe, Sign.ALIVE, took_s=0.1, now=15.0)
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN
    call(breaker, Sign.ALIVE, now=15.0)
    assert breaker.circuit(15.0) is Circuit.CLOSED


def test_a_probe_whose_second_request_fails_reopens_the_circuit() -> None:
    breaker = opened(TWO_PROBES)
    probe = admitted(breaker, now=15.0)
    for sign in (Sign.ALIVE, Sign.FAILED):
        breaker.record(probe, sign, took_s=0.1, now=15.0)
    assert breaker.circuit(15.0) is Circuit.OPEN


@pytest.mark.parametrize("sign", Sign)
def test_what_was_called_before_the_circuit_opened_says_nothing_about_now(sign: Sign) -> None:
    breaker = Breaker(SPEC)
    late = admitted(breaker, now=0.0)
    for _ in range(4):
        call(breaker, Sign.FAILED, now=0.0)
    assert isinstance(breaker.admit(15.0), Permit)
    breaker.record(late, sign, took_s=15.0, now=15.0)
    breaker.give_back(late)
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN
    assert breaker.admit(15.0) == ProbeUnderWay()


def closed() -> Breaker:
    """One failure away from opening, if the window is kept."""
    breaker = Breaker(SPEC)
    for _ in range(3):
        call(breaker, Sign.FAILED, now=0.0)
    return breaker


def half_open() -> Breaker:
    """Opened twice in a row, its probe taken."""
    breaker = opened(now=-45.0)
    call(breaker, Sign.FAILED, now=-30.0)
    admitted(breaker, now=0.0)
    return breaker


def isolated() -> Breaker:
    breaker = half_open()
    breaker.isolate()
    return breaker


STATES = {"closed": closed, "open": opened, "half-open": half_open, "isolated": isolated}
in_every_state = pytest.mark.parametrize("make", STATES.values(), ids=STATES)


@in_every_state
def test_an_isolated_circuit_stays_open_until_it_is_reset(make: Callable[[], Breaker]) -> None:
    breaker = make()
    breaker.isolate()
    for now in (0.0, 1e9):
        assert breaker.circuit(now) is Circuit.ISOLATED
        assert breaker.refusal(now) == breaker.admit(now) == Isolated()
        assert breaker.reopens_at(now) is None


@in_every_state
def test_a_reset_closes_the_circuit_and_forgets_what_was(make: Callable[[], Breaker]) -> None:
    breaker = make()
    breaker.reset()
    for _ in range(4):
        assert breaker.circuit(0.0) is Circuit.CLOSED
        call(breaker, Sign.FAILED, now=0.0)
    assert breaker.reopens_at(0.0) == 15.0


@pytest.mark.parametrize("turn", [Breaker.isolate, Breaker.reset])
@pytest.mark.parametrize("make", [lambda: Breaker(SPEC), lambda: opened(now=-15.0)], ids=["closed", "half-open"])
def test_permits_that_are_out_at_an_isolation_or_a_reset_are_void(
    make: Callable[[], Breaker], turn: Callable[[Breaker], None]
) -> None:
    breaker = make()
    late = admitted(breaker, now=0.0)
    turn(breaker)
    before = breaker.circuit(0.0)
    for _ in range(4):
        breaker.record(late, Sign.FAILED, took_s=10.0, now=0.0)
    breaker.give_back(late)
    assert breaker.circuit(0.0) is before


class BreakerLife(RuleBasedStateMachine):
    """Whatever happens: few probes, an end to every opening but isolation, and nothing admitted while open."""

    permits = Bundle("permits")

    @initialize(has_operator=st.booleans())
    def begins(self, *, has_operator: bool) -> None:
        self.has_operator = has_operator
        self.is_isolated = False
        self.spec = BreakerSpec(window_s=10.0, min_calls=3, failure_ratio=0.5, slow_s=5.0, open_s=4.0, probes=2)
        self.breaker = Breaker(self.spec)
        self.now = 0.0
        self.seen = Circuit.CLOSED
        self.out: set[Permit] = set()  # without the void ones

    @rule(seconds=st.floats(0, 50))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def call_asks(self) -> Permit | MultipleResults[Permit]:
        admission = self.breaker.admit(self.now)
        if isinstance(admission, Permit):
            assert self.seen in {Circuit.CLOSED, Circuit.HALF_OPEN}
            self.out.add(admission)
            return admission
        assert self.seen is not Circuit.CLOSED
        return multiple()

    @rule(permit=consumes(permits), sign=st.sampled_from(Sign), took_s=st.floats(0, 10))
    def call_ends(self, permit: Permit, sign: Sign, took_s: float) -> None:
        self.breaker.record(permit, sign, took_s=took_s, now=self.now)
        self.breaker.give_back(permit)
        if permit not in self.out:
            assert self.breaker.circuit(self.now) is self.seen
        self.out.discard(permit)

    @rule(permit=consumes(permits))
    def call_is_cancelled(self, permit: Permit) -> None:
        self.breaker.give_back(permit)
        self.out.discard(permit)
        assert self.breaker.circuit(self.now) is self.seen

    @precondition(lambda self: self.seen is Circuit.CLOSED)
    @rule()
    def the_flow_fails(self) -> None:
        while self.breaker.circuit(self.now) is Circuit.CLOSED:
            call(self.breaker, Sign.FAILED, now=self.now)
        assert self.breaker.circuit(self.now) is Circuit.OPEN

    @precondition(lambda self: self.has_operator)
    @rule()
    def operator_isolates(self) -> None:
        self.breaker.isolate()
        self.is_isolated = True

    @precondition(lambda self: self.has_operator)
    @rule()
    def operator_resets(self) -> None:
        self.breaker.reset()
        self.is_isolated = False
        self.out.clear()
        assert self.breaker.circuit(self.now) is Circuit.CLOSED

    @invariant()
    def a_change_of_the_circuit_voids_all_permits(self) -> None:
        circuit = self.breaker.circuit(self.now)
        if circuit is not self.seen:
            self.seen = circuit
            self.out.clear()

    @invariant()
    def isolation_ends_by_a_reset_alone(self) -> None:
        assert (self.breaker.circuit(self.now) is Circuit.ISOLATED) == self.is_isolated
        assert (self.breaker.refusal(self.now) == Isolated()) == self.is_isolated

    @invariant()
    def probes_are_few(self) -> None:
        if self.breaker.circuit(self.now) is Circuit.HALF_OPEN:
            assert len(self.out) <= self.spec.probes

    @invariant()
    def every_opening_ends(self) -> None:
        reopens_at = self.breaker.reopens_at(self.now)
        if reopens_at is not None:
            assert self.now < reopens_at <= self.now + 2**MOST_DOUBLINGS * self.spec.open_s

    @invariant()
    def a_refusal_always_has_somebody_to_end_it(self) -> None:
        refusal = self.breaker.refusal(self.now)
        if isinstance(refusal, ProbeUnderWay):
            assert self.out, "nobody is left whose end could close or reopen the circuit"


TestBreakerLife = BreakerLife.TestCase
TestBreakerLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
