import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.bench.figures import FullLoad, calm_of, full_load_of, medians, quantile, ratio_of


def a_round(per_s: float, cpu_ms: float = 1.0, *, measured: int = 100) -> FullLoad:
    return FullLoad(
        requests_per_s=per_s, cpu_ms_per_request=cpu_ms, p50_ms=1.0, p99_ms=2.0, peak_mb=3.0, measured=measured
    )


def test_a_window_becomes_figures() -> None:
    latencies_ms = [float(number) for number in range(200)]
    figures = full_load_of(took_s=0.5, cpu_s=0.1, latencies_ms=latencies_ms, peak_mb=40.0)
    assert figures == FullLoad(
        requests_per_s=400.0, cpu_ms_per_request=0.5, p50_ms=100.0, p99_ms=198.0, peak_mb=40.0, measured=200
    )
    assert calm_of(20.0, [3.0]).p99_ms == 3.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values_and_has_its_share_below(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_medians_are_of_each_figure_by_itself_and_of_the_fewest_measured() -> None:
    rounds = [a_round(10.0, 3.0, measured=7), a_round(30.0, 1.0), a_round(20.0, 2.0)]
    assert medians(rounds) == a_round(20.0, 2.0, measured=7)


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    ratio = ratio_of([a_round(10.0), a_round(100.0), a_round(5.0)], [a_round(20.0), a_round(100.0, 4.0), a_round(20.0)])
    assert (ratio.requests_per_s, ratio.cpu_ms_per_request) == (0.5, 1.0)


def test_what_one_round_does_not_know_nobody_knows() -> None:
    rounds = [a_round(10.0, math.nan), a_round(20.0)]
    assert math.isnan(medians(rounds).cpu_ms_per_request)
    assert math.isnan(ratio_of(rounds, rounds).cpu_ms_per_request)
    assert ratio_of(rounds, rounds).requests_per_s == pytest.approx(1.0)
