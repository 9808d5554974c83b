from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from worker.core.limiter import Allowance, RateLimiter


@given(st.lists(st.floats(0, 5), min_size=2, max_size=50), st.floats(0.5, 100))
def test_starts_are_never_closer_than_the_rate_allows(steps: list[float], rate_per_s: float) -> None:
    limiter = RateLimiter(rate_per_s)
    now = 0.0
    starts = []
    for step in steps:
        now += step
        start = limiter.reserve(now, until=None)
        assert start is not None
        assert start >= now
        starts.append(start)
    assert all(later - earlier >= 1 / rate_per_s - 1e-9 for earlier, later in pairwise(starts))


def test_no_time_is_lost_while_calls_wait_in_line() -> None:
    limiter = RateLimiter(10.0)
    starts = [limiter.reserve(100.0, until=None) for _ in range(11)]
    assert starts[0] == 100.0
    assert starts[10] is not None
    assert abs(starts[10] - 101.0) < 1e-9


def test_a_start_that_would_be_too_late_is_not_taken() -> None:
    limiter = RateLimiter(1.0)
    assert limiter.reserve(0.0, until=0.5) == 0.0
    assert limiter.reserve(0.0, until=0.5) is None
    assert limiter.reserve(0.0, until=1.0) == 1.0


def test_a_rate_of_zero_is_no_cap() -> None:
    limiter = RateLimiter(0.0)
    assert [limiter.reserve(5.0, until=5.0) for _ in range(3)] == [5.0, 5.0, 5.0]


def test_a_worker_takes_its_share_of_the_rate() -> None:
    limiter = RateLimiter(10.0)
    limiter.set_share(5)
    assert [limiter.reserve(0.0, until=None) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_a_new_share_holds_from_the_next_start_on() -> None:
    limiter = RateLimiter(1.0)
    assert limiter.reserve(0.0, until=None) == 0.0
    limiter.set_share(4)
    assert limiter.reserve(0.0, until=3.9) is None
    limiter.set_share(1)
    assert limiter.reserve(0.0, until=None) == 1.0


def test_good_news_moves_the_next_start_up() -> None:
    allowance = Allowance()
    allowance.note(4500, 0.0)
    allowance.note(1, 0.0)
    allowance.start(0.0)
    assert allowance.next_start(1.0) == 30.0
    allowance.note(4500, 2.0)
    assert allowance.next_start(2.0) == 2.0


def test_workers_share_the_allowance() -> None:
    allowance = Allowance()
    allowance.set_share(3)
    allowance.note(4500, 0.0)
    allowance.note(15, 0.0)
    allowance.start(0.0)
    assert [allowance.next_start(0.0) for _ in range(2)] == [6.0, 6.0], "looking takes nothing"


def test_the_allowance_spaces_calls_only_when_little_is_left() -> None:
    allowance = Allowance()
    assert allowance.interval_s(0.0) == 0.0
    for remaining, interval_s in ((4500, 0.0), (451, 0.0), (450, 300 / 4500), (45, 30 / 45), (1, 30.0), (0, 30.0)):
        allowance.note(remaining, 1.0)
        assert allowance.interval_s(1.0) == pytest.approx(interval_s)


def test_the_allowance_is_forgotten_without_news() -> None:
    allowance = Allowance()
    allowance.note(4500, 0.0)
    allowance.note(10, 10.0)
    assert allowance.interval_s(309.9) == 3.0
    assert allowance.interval_s(310.0) == 0.0
    allowance.note(10, 400.0)
    assert allowance.interval_s(400.0) == 0.0, "ten are all that was seen since"


def test_what_was_seen_last_window_still_counts_in_the_next() -> None:
    allowance = Allowance()
    allowance.note(4500, 0.0)
    allowance.note(100, 290.0)
    allowance.note(10, 310.0)
    assert allowance.interval_s(310.0) == 3.0


NEWS = st.lists(st.tuples(st.floats(0, 400), st.integers(0, 5000)), min_size=1, max_size=30)


@given(NEWS, st.floats(0, 400), st.integers(1, 20))
def test_the_allowances_spacing_keeps_its_law(news: list[tuple[float, int]], later_s: float, workers: int) -> None:
    """The most is that of the last window at least, and of the last three at most."""
    allowance = Allowance()
    allowance.set_share(workers)
    seen: list[tuple[float, int]] = []
    now = 0.0
    for pause_s, remaining in news:
        now += pause_s
        allowance.note(remaining, now)
        seen.append((now, remaining))
    last_at, remaining = seen[-1]
    now = last_at + later_s
    recent = max(number for at, number in seen if last_at - at < 300)
    before = max(number for at, number in seen if last_at - at < 900)
    interval_s = allowance.interval_s(now)
    assert 0 <= interval_s <= 30 * workers
    if now - last_at >= 300 or remaining * 10 > before:
        assert interval_s == 0
    elif remaining * 10 <= recent:
        assert interval_s == pytest.approx(workers * 30 / max(1, remaining))


class LimiterLife(RuleBasedStateMachine):
    """However it is shared and asked for: starts keep their distance, and what was refused took nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = RateLimiter(2.0)
        self.now = 0.0
        self.workers = 1
        self.last = float("-inf")

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(workers=st.integers(1, 8))
    def workers_come_or_go(self, workers: int) -> None:
        self.limiter.set_share(workers)
        self.workers = workers

    @rule(patience_s=st.none() | st.floats(0, 60))
    def a_call_wants_to_start(self, patience_s: float | None) -> None:
        due = max(self.now, self.last + self.workers * 0.5)
        until = None if patience_s is None else self.now + patience_s
        start = self.limiter.reserve(self.now, until=until)
        if start is None:
            assert until is not None
            assert due > until
            return
        assert start == due
        self.last = start


TestLimiterLife = LimiterLife.TestCase
TestLimiterLife.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
