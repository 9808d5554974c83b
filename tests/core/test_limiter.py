from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.core.limiter import RateLimiter


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
