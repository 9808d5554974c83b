from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from worker.core.adaptive import CUT, LEAST_EASED, RECENT_CALLS, AdaptiveLimit, Strain, strain_of
from worker.core.response import AttemptResult, Flaw, NoAnswer, Response, judge_response, judge_silence


class Calls:
    """Calls of a flow, one round trip after the other; each begins a moment after the last has ended."""

    def __init__(self, cap: int) -> None:
        self.limit = AdaptiveLimit(cap)
        self.now = 0.0

    def round_trip(
        self, *strains: Strain, count: int | None = None, took_s: float = 1.0, in_flight: int | None = None
    ) -> int:
        """As many calls as the limit allows, or `count`, end alike, or as `strains` says in turn."""
        started_at = self.now + 0.001
        self.now = started_at + took_s
        size = self.limit.limit if count is None else count
        for place in range(size):
            self.limit.ended(
                strains[place % len(strains)] if strains else Strain.NONE,
                started_at=started_at,
                took_s=took_s,
                in_flight=self.limit.limit if in_flight is None else in_flight,
                now=self.now,
            )
        return self.limit.limit

    def cut_to(self, most: int) -> None:
        while self.limit.limit > most:
            self.round_trip(Strain.OVERLOADED)

    def usual(self) -> int:
        """Enough answers after a second each to know that as the flow's speed; the lowest limit meanwhile."""
        return min(self.round_trip(count=RECENT_CALLS) for _ in range(20))


def test_it_starts_at_the_cap_and_stays_while_all_goes_well() -> None:
    calls = Calls(100)
    assert {calls.limit.limit, *(calls.round_trip() for _ in range(50))} == {100}


def test_a_strained_round_trip_makes_one_decrease() -> None:
    calls = Calls(100)
    assert [calls.round_trip(Strain.OVERLOADED) for _ in range(3)] == [70, 49, 34]


def test_it_never_falls_below_one() -> None:
    calls = Calls(10)
    assert [calls.round_trip(Strain.OVERLOADED, count=10) for _ in range(20)][-1] == 1


def test_calls_from_before_a_decrease_tell_of_the_old_limit() -> None:
    calls = Calls(100)
    calls.round_trip(Strain.OVERLOADED)
    for strain in (Strain.OVERLOADED, Strain.NONE) * 200:
        calls.limit.ended(strain, started_at=calls.now, took_s=1.0, in_flight=70, now=calls.now + 1.0)
    assert calls.limit.limit == 70


def test_a_failure_among_many_answers_is_the_flows_own() -> None:
    calls = Calls(100)
    for _ in range(100):
        calls.round_trip(*[Strain.NONE] * 49, Strain.OVERLOADED, count=100)
    assert calls.limit.limit == 100


def test_one_failure_in_five_is_strain() -> None:
    calls = Calls(100)
    assert calls.round_trip(*[Strain.NONE] * 4, Strain.OVERLOADED) < 100


def test_what_says_nothing_changes_nothing() -> None:
    calls = Calls(100)
    calls.cut_to(50)
    before = calls.limit.limit
    for _ in range(20):
        calls.round_trip(Strain.UNKNOWN)
    assert calls.limit.limit == before


def test_a_round_trip_that_goes_well_adds_about_one() -> None:
    calls = Calls(100)
    calls.cut_to(50)
    before = calls.limit.limit
    calls.round_trip()
    assert before <= calls.limit.limit <= before + 1
    for _ in range(9):
        calls.round_trip()
    assert before + 9 <= calls.limit.limit <= before + 11


def test_a_limit_that_nobody_needs_does_not_grow() -> None:
    calls = Calls(100)
    calls.cut_to(50)
    before = calls.limit.limit
    for _ in range(20):
        calls.round_trip(in_flight=before // 2 - 1)
    assert calls.limit.limit == before
    for _ in range(20):
        calls.round_trip(in_flight=before // 2 + 1)
    assert calls.limit.limit > before


def test_one_call_at_a_time_is_enough_to_climb_from_one() -> None:
    calls = Calls(10)
    calls.cut_to(1)
    for _ in range(100):
        calls.round_trip()
    assert calls.limit.limit == 10


def test_an_untouched_limit_is_always_the_cap() -> None:
    calls = Calls(100)
    for cap in (33, 50, 7, 1, 100):
        calls.limit.set_cap(cap)
        assert calls.limit.limit == cap


def test_a_limit_that_was_found_keeps_its_share_of_the_cap() -> None:
    calls = Calls(100)
    calls.cut_to(34)
    calls.limit.set_cap(50)
    assert calls.limit.limit == 17
    calls.limit.set_cap(2)
    assert calls.limit.limit == 1


def test_slowness_that_lasts_lowers_the_limit_by_steps() -> None:
    calls = Calls(40)
    calls.usual()
    limits = [calls.round_trip(took_s=4.0) for _ in range(10)]
    assert limits[0] == 40
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] < 30
    assert all(after >= CUT * before for before, after in pairwise(limits))


def test_half_as_slow_again_is_no_slowness() -> None:
    calls = Calls(40)
    calls.usual()
    assert {calls.round_trip(took_s=1.5) for _ in range(100)} == {40}


@pytest.mark.parametrize(("cap", "slow_calls"), [(40, RECENT_CALLS), (300, 300)])
def test_some_dozens_of_slow_calls_or_a_round_trip_of_them_change_nothing(cap: int, slow_calls: int) -> None:
    calls = Calls(cap)
    calls.usual()
    assert calls.round_trip(took_s=4.0, count=slow_calls) == cap


def test_stalls_that_pass_change_nothing() -> None:
    calls = Calls(40)
    for _ in range(5):
        assert calls.usual() == 40
        assert calls.round_trip(took_s=30.0, count=40) == 40


def test_a_few_very_slow_calls_among_many_change_nothing() -> None:
    calls = Calls(40)
    for _ in range(200):
        calls.round_trip(took_s=0.2, count=19)
        calls.round_trip(took_s=60.0, count=1)
    assert calls.limit.limit == 40


def test_slowness_stops_growth() -> None:
    calls = Calls(40)
    calls.usual()
    calls.cut_to(20)
    before = calls.limit.limit
    assert max(calls.round_trip(took_s=1000.0) for _ in range(8)) <= before + 1


@pytest.mark.parametrize("slower", [3.0, 10.0, 1000.0])
@pytest.mark.parametrize("cap", [1, 2, 5, 40])
def test_a_speed_that_is_the_flows_own_is_accepted(cap: int, slower: float) -> None:
    calls = Calls(cap)
    calls.usual()
    limits = [calls.round_trip(took_s=slower) for _ in range(500)]
    assert min(limits) >= int(0.8 * LEAST_EASED * cap)
    assert limits[-1] == cap


def test_slowness_is_not_the_limits_where_the_limit_is_hardly_used() -> None:
    calls = Calls(40)
    calls.usual()
    assert {calls.round_trip(took_s=10.0, in_flight=19) for _ in range(10)} == {40}
    assert calls.round_trip(took_s=10.0, in_flight=40, count=RECENT_CALLS - 1) == 40


def judged(
    status: int, body: bytes | Flaw = b"", run_id: str | None = None, location: str | None = None
) -> AttemptResult:
    return judge_response(Response(status=status, body=body, run_id=run_id, location=location), attempts=1)


PLATFORM = b'{"error": {"code": "ServiceUnavailable", "message": ""}}'
NO_RESPONSE = b'{"error": {"code": "NoResponse", "message": ""}}'


@pytest.mark.parametrize(
    ("result", "strain"),
    [
        (judged(200), Strain.NONE),
        (judged(202, location="https://flow/run"), Strain.NONE),
        (judged(400, run_id="run"), Strain.NONE),
        (judged(503, run_id="run"), Strain.NONE),
        (judged(200, Flaw.TOO_LARGE), Strain.NONE),
        (judged(429), Strain.THROTTLED),
        (judged(500), Strain.OVERLOADED),
        (judged(503), Strain.OVERLOADED),
        (judged(503, PLATFORM), Strain.OVERLOADED),
        (judged(504, run_id="run"), Strain.OVERLOADED),
        (judge_silence(NoAnswer(was_sent=True, why=""), attempts=1), Strain.OVERLOADED),
        (judge_silence(NoAnswer(was_sent=False, why=""), attempts=1), Strain.UNKNOWN),
        (judged(404), Strain.UNKNOWN),
        (judged(401), Strain.UNKNOWN),
        (judged(302), Strain.UNKNOWN),
        (judged(200, Flaw.CUT_OFF), Strain.UNKNOWN),
        (judged(502, NO_RESPONSE, run_id="run"), Strain.UNKNOWN),
    ],
)
def test_what_an_attempt_says_of_the_load(result: AttemptResult, strain: Strain) -> None:
    assert strain_of(result) is strain


class LimitLife(RuleBasedStateMachine):
    """Whatever calls do: within its bounds, one step at a time, and never moved by what is no evidence."""

    started = Bundle("started")

    def __init__(self) -> None:
        super().__init__()
        self.cap = 12
        self.adaptive = AdaptiveLimit(self.cap)
        self.now = 0.0
        self.in_flight = 0
        self.decreased_at = float("-inf")

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.in_flight < self.adaptive.limit)
    @rule(target=started)
    def a_call_starts(self) -> float:
        self.in_flight += 1
        return self.now

    @rule(started_at=consumes(started), strain=st.sampled_from(Strain))
    def a_call_ends(self, started_at: float, strain: Strain) -> None:
        self.ends(started_at, strain)
        self.in_flight -= 1

    @rule(strain=st.sampled_from(Strain), trips=st.integers(1, 10), took_s=st.floats(0, 100))
    def calls_end_alike(self, strain: Strain, trips: int, took_s: float) -> None:
        for _ in range(trips):
            started_at, free = self.now, max(0, self.adaptive.limit - self.in_flight)
            self.in_flight += free
            self.now += took_s
            for _ in range(free):
                self.ends(started_at, strain)
                self.in_flight -= 1

    @rule(cap=st.integers(1, 50))
    def others_come_or_go(self, cap: int) -> None:
        before, was_untouched = self.adaptive.limit, self.adaptive.limit == self.cap
        self.adaptive.set_cap(cap)
        if was_untouched:
            assert self.adaptive.limit == cap
        elif cap <= self.cap:
            assert self.adaptive.limit <= before
        else:
            assert self.adaptive.limit >= before
        self.cap = cap

    @invariant()
    def the_limit_keeps_its_bounds(self) -> None:
        assert 1 <= self.adaptive.limit <= self.cap

    def ends(self, started_at: float, strain: Strain) -> None:
        before = self.adaptive.limit
        self.adaptive.ended(
            strain, started_at=started_at, took_s=self.now - started_at, in_flight=self.in_flight, now=self.now
        )
        after = self.adaptive.limit
        if strain is Strain.UNKNOWN or started_at <= self.decreased_at:
            assert after == before
        if after < before:
            assert after >= int(CUT * before)
            self.decreased_at = self.now
        if after > before:
            assert after == before + 1
            assert strain is Strain.NONE
            assert 2 * self.in_flight >= before


TestLimitLife = LimitLife.TestCase
TestLimitLife.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
