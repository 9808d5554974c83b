import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from worker.core.breaker import MOST_DOUBLINGS, Breaker, Circuit, OpenUntil, Permit, ProbeUnderWay
from worker.core.flow_spec import BreakerSpec
from worker.core.response import Sign

SPEC = BreakerSpec(window_s=30.0, min_calls=4, failure_ratio=0.5, slow_s=10.0, slow_ratio=0.75, open_s=15.0, probes=1)


def call(breaker: Breaker, sign: Sign, *, now: float, took_s: float = 0.1) -> None:
    permit = breaker.admit(now)
    assert isinstance(permit, Permit)
    breaker.record(permit, sign, took_s=took_s, now=now)


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


def test_slow_answers_open_the_circuit_too() -> None:
    breaker = Breaker(SPEC)
    for took_s in (10.0, 10.0, 10.0, 0.1):
        call(breaker, Sign.ALIVE, now=0.0, took_s=took_s)
    assert breaker.circuit(0.0) is Circuit.OPEN


def test_failures_leave_the_window_with_time() -> None:
    breaker = Breaker(SPEC)
    for _ in range(3):
        call(breaker, Sign.FAILED, now=0.0)
    call(breaker, Sign.FAILED, now=34.0)
    assert breaker.circuit(34.0) is Circuit.CLOSED


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
    permit = breaker.admit(15.0)
    assert isinstance(permit, Permit)
    breaker.record(permit, Sign.ALIVE, took_s=10.0, now=25.0)
    assert breaker.circuit(25.0) is Circuit.OPEN


def test_a_probe_given_back_makes_room_for_another() -> None:
    breaker = opened()
    permit = breaker.admit(15.0)
    assert isinstance(permit, Permit)
    breaker.give_back(permit)
    assert isinstance(breaker.admit(15.0), Permit)


def test_a_recorded_probe_cannot_be_given_back() -> None:
    breaker = opened(BreakerSpec(min_calls=4, probes=2))
    first = breaker.admit(15.0)
    assert isinstance(first, Permit)
    breaker.record(first, Sign.ALIVE, took_s=0.1, now=15.0)
    breaker.give_back(first)
    assert isinstance(breaker.admit(15.0), Permit)
    assert breaker.admit(15.0) == ProbeUnderWay()


@pytest.mark.parametrize("sign", Sign)
def test_what_was_called_before_the_circuit_opened_says_nothing_about_now(sign: Sign) -> None:
    breaker = Breaker(SPEC)
    late = breaker.admit(0.0)
    assert isinstance(late, Permit)
    for _ in range(4):
        call(breaker, Sign.FAILED, now=0.0)
    assert isinstance(breaker.admit(15.0), Permit)
    breaker.record(late, sign, took_s=15.0, now=15.0)
    breaker.give_back(late)
    assert breaker.circuit(15.0) is Circuit.HALF_OPEN
    assert breaker.admit(15.0) == ProbeUnderWay()


class BreakerLife(RuleBasedStateMachine):
    """Whatever happens: few probes, an end to every opening, and nothing admitted while open."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.spec = BreakerSpec(window_s=10.0, min_calls=3, failure_ratio=0.5, slow_s=5.0, open_s=4.0, probes=2)
        self.breaker = Breaker(self.spec)
        self.now = 0.0
        self.out: set[Permit] = set()

    @rule(seconds=st.floats(0, 50))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def call_asks(self) -> object:
        before = self.breaker.circuit(self.now)
        admission = self.breaker.admit(self.now)
        if isinstance(admission, Permit):
            assert before is not Circuit.OPEN
            self.out.add(admission)
        else:
            assert before is not Circuit.CLOSED
        return admission

    @rule(admission=consumes(permits), sign=st.sampled_from(Sign), took_s=st.floats(0, 10))
    def call_ends(self, admission: object, sign: Sign, took_s: float) -> None:
        if isinstance(admission, Permit):
            before = self.breaker.circuit(self.now)
            self.breaker.record(admission, sign, took_s=took_s, now=self.now)
            self.breaker.give_back(admission)
            self.out.discard(admission)
            if before is Circuit.OPEN:
                assert self.breaker.circuit(self.now) is Circuit.OPEN

    @rule(admission=consumes(permits))
    def call_is_cancelled(self, admission: object) -> None:
        if isinstance(admission, Permit):
            before = self.breaker.circuit(self.now)
            self.breaker.give_back(admission)
            self.out.discard(admission)
            assert self.breaker.circuit(self.now) is before

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
