import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.loop_lag import HELD_UP_S, WINDOW_S, LoopLag


def test_a_loop_on_time_is_nothing_to_speak_of() -> None:
    lag = LoopLag()
    assert not lag.note(0.01, 5.0)
    assert lag.failure(5.0) is None


def test_a_loop_that_stood_still_is_told_for_a_while() -> None:
    lag = LoopLag()
    assert lag.note(HELD_UP_S + 1.0, 5.0)
    lag.note(0.0, 6.0)
    assert lag.failure(5.0 + WINDOW_S - 0.1) == "the event loop stood still for 3.0 s"
    assert lag.failure(5.0 + WINDOW_S) is None


@given(st.lists(st.tuples(st.floats(0, 4), st.sampled_from([0.0, 0.1, 0.5, 2.0])), min_size=1), st.floats(0, 12))
def test_the_worst_is_that_of_the_window(steps: list[tuple[float, float]], later_s: float) -> None:
    lag, now, noted = LoopLag(), 0.0, []
    for pause_s, lag_s in steps:
        now += pause_s
        lag.note(lag_s, now)
        noted.append((now, lag_s))
    now += later_s
    expected = max((lag_s for at, lag_s in noted if at > now - WINDOW_S), default=0.0)
    assert lag.worst_s(now) == pytest.approx(expected)
