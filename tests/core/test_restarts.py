import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.restarts import FIRST_S, LONG_LIFE_S, LONGEST_S, Restarts

draws = st.floats(0, 1, exclude_max=True)
lives = st.tuples(st.floats(0, 2 * LONG_LIFE_S), st.booleans(), draws)


def pause_after(restarts: Restarts, lived_s: float, *, is_hopeless: bool = False, draw: float = 0.0) -> float:
    restarts.begun(100.0)
    return restarts.pause_s(100.0 + lived_s, is_hopeless=is_hopeless, draw=draw)


def test_each_short_life_doubles_the_pause_up_to_its_longest() -> None:
    restarts = Restarts()
    pauses = [pause_after(restarts, 1.0) for _ in range(10)]
    assert pauses[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert pauses[-1] == LONGEST_S


def test_after_a_long_life_it_is_short_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        pause_after(restarts, 1.0)
    assert pause_after(restarts, LONG_LIFE_S) == FIRST_S
    assert pause_after(restarts, 1.0) == 2 * FIRST_S


def test_what_will_end_in_the_same_way_is_not_tried_in_a_hurry() -> None:
    assert pause_after(Restarts(), 0.1, is_hopeless=True) == LONGEST_S


@given(st.lists(lives, min_size=1, max_size=200))
def test_every_pause_is_what_the_lives_before_it_say_less_up_to_half(lived: list[tuple[float, bool, float]]) -> None:
    restarts, in_a_row = Restarts(), 0
    for lived_s, is_hopeless, draw in lived:
        in_a_row = 1 if lived_s >= LONG_LIFE_S else in_a_row + 1
        most_s = LONGEST_S if is_hopeless else min(LONGEST_S, FIRST_S * 2 ** (in_a_row - 1))
        restarts.begun(0.0)
        pause_s = restarts.pause_s(lived_s, is_hopeless=is_hopeless, draw=draw)
        assert pause_s == pytest.approx(most_s * (1 - draw / 2))
        assert most_s / 2 <= pause_s <= most_s
