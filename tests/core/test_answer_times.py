from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core import answer_times
from worker.core.answer_times import LEAST_SAMPLES, ONE_IN, WINDOW_S, AnswerTimes


def of(samples: Iterable[tuple[float, float]]) -> AnswerTimes:
    times = AnswerTimes()
    for now, took_s in samples:
        times.add(took_s, now)
    return times


def test_too_few_answers_say_nothing() -> None:
    times = of((0.0, 5.0) for _ in range(LEAST_SAMPLES - 1))
    assert times.fastest_decile_s(0.0) is None
    assert times.has_chance(0.01, 0.0)
    times.add(5.0, 0.0)
    assert times.fastest_decile_s(0.0) == 5.0
    assert not times.has_chance(4.99, 0.0)
    assert times.has_chance(5.0, 0.0)


def test_the_decile_is_what_one_in_ten_is_as_fast_as() -> None:
    assert of((0.0, float(n)) for n in range(1, 31)).fastest_decile_s(0.0) == 3.0


def test_answers_older_than_a_minute_are_forgotten() -> None:
    times = of((0.0, 5.0) for _ in range(LEAST_SAMPLES))
    assert times.fastest_decile_s(WINDOW_S - 0.1) == 5.0
    assert times.fastest_decile_s(WINDOW_S) is None


def test_one_in_twenty_without_a_chance_is_let_through_and_not_the_first() -> None:
    times = AnswerTimes()
    let_through = [times.lets_through() for _ in range(3 * ONE_IN)]
    assert sum(let_through) == 3
    assert not let_through[0]


@given(
    samples=st.lists(st.tuples(st.floats(0, 200), st.sampled_from([0.1, 0.5, 0.5, 2.0, 9.0])), max_size=80),
    later_s=st.floats(0, 100),
)
def test_it_says_what_a_sorted_list_of_the_last_minute_says(samples: list[tuple[float, float]], later_s: float) -> None:
    samples.sort(key=lambda sample: sample[0])
    now = (samples[-1][0] if samples else 0.0) + later_s
    recent = sorted(took_s for at, took_s in samples if at > now - WINDOW_S)
    expected = recent[(len(recent) + 9) // 10 - 1] if len(recent) >= LEAST_SAMPLES else None
    assert of(samples).fastest_decile_s(now) == expected


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_times, "MOST_SAMPLES", 30)
    times = of((0.0, float(n)) for n in range(100))
    assert times.fastest_decile_s(0.0) == 72.0, "of the last 30, from 70 on"
