from hypothesis import given
from hypothesis import strategies as st

from worker.core.door.allowance import Allowance

STEPS = st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60)


@given(STEPS, st.floats(0.5, 50), st.integers(1, 5))
def test_no_more_enter_than_the_rate_and_a_second_ahead_allow_nor_more_at_once(
    steps: list[tuple[float, bool]], rate_per_s: float, concurrency: int
) -> None:
    allowance = Allowance(rate_per_s=rate_per_s, concurrency=concurrency)
    now, entered, in_hand = 1_000.0, 0, 0
    for passed_s, leaves in steps:
        now += passed_s
        if leaves and in_hand:
            allowance.leave()
            in_hand -= 1
        again_in_s = allowance.enter(now)
        if again_in_s is None:
            entered += 1
            in_hand += 1
        else:
            assert 0 < again_in_s <= max(1.0, 1 / rate_per_s)
        assert allowance.in_hand == in_hand <= concurrency
        assert entered <= max(1.0, rate_per_s) + (now - 1_000.0) * rate_per_s + 1e-6


@given(STEPS)
def test_without_a_rate_only_places_count(steps: list[tuple[float, bool]]) -> None:
    allowance = Allowance(rate_per_s=0, concurrency=3)
    for passed_s, leaves in steps:
        if leaves and allowance.in_hand:
            allowance.leave()
        is_free = allowance.in_hand < 3
        assert (allowance.enter(passed_s) is None) == is_free


@given(st.floats(0.5, 50))
def test_who_comes_again_when_told_gets_in(rate_per_s: float) -> None:
    allowance = Allowance(rate_per_s=rate_per_s, concurrency=1_000)
    now = 50.0
    for _ in range(100):
        again_in_s = allowance.enter(now)
        if again_in_s is not None:
            now += again_in_s + 1e-6
            assert allowance.enter(now) is None
