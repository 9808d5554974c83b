"""How much of what callers can wait is spent in the queue."""

from hypothesis import given
from hypothesis import strategies as st

from worker.core.wait_used import MOST, WINDOW_S, WaitUsed


def test_without_requests_nothing_is_used() -> None:
    assert WaitUsed().ratio(now=10.0) == 0.0


def test_a_hundred_requests_that_may_take_an_hour_ask_for_nobody() -> None:
    used = WaitUsed()
    for _ in range(100):
        used.note(waited_s=20.0, allowed_s=3600.0, call_s=1.0, now=1.0)
    assert used.ratio(now=2.0) < 0.05


def test_few_requests_that_waited_half_of_what_they_could_say_so() -> None:
    used = WaitUsed()
    for _ in range(5):
        used.note(waited_s=1.0, allowed_s=3.0, call_s=1.0, now=1.0)
    assert used.ratio(now=2.0) == 0.5


def test_what_came_too_late_counts_no_more_than_bounded() -> None:
    used = WaitUsed()
    used.note(waited_s=500.0, allowed_s=1.0, call_s=5.0, now=1.0)
    assert used.ratio(now=2.0) == MOST


def test_a_tenth_of_the_requests_may_be_slow() -> None:
    used = WaitUsed()
    for number in range(100):
        used.note(waited_s=9.0 if number < 10 else 1.0, allowed_s=10.0, call_s=0.0, now=1.0)
    assert used.ratio(now=2.0) == 0.1


def test_after_a_minute_it_is_forgotten() -> None:
    used = WaitUsed()
    used.note(waited_s=1.0, allowed_s=1.0, call_s=0.0, now=1.0)
    assert used.ratio(now=1.0 + WINDOW_S - 1) > 0
    assert used.ratio(now=1.0 + WINDOW_S + 5.1) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-10, 1e6), st.floats(0, 1e4), st.floats(0, 30)), max_size=50))
def test_it_is_always_a_number_that_can_be_scaled_by(noted: list[tuple[float, float, float, float]]) -> None:
    used, now = WaitUsed(), 0.0
    for waited_s, allowed_s, call_s, later_s in noted:
        now += later_s
        used.note(waited_s=waited_s, allowed_s=allowed_s, call_s=call_s, now=now)
    assert 0.0 <= used.ratio(now) <= MOST
