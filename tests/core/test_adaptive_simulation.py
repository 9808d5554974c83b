"""The limit at a flow in virtual time, as tests/bench/adaptive.py draws it."""

from collections.abc import Callable
from itertools import chain
from random import Random
from xml.etree import ElementTree as ET

import pytest
from bench.adaptive import (
    CAP,
    SLOWER,
    SLOWING,
    THROTTLING,
    TIMING_OUT,
    FixedLimit,
    Measured,
    Phase,
    Scenario,
    drawn,
    noisy_s,
    simulated,
)

from worker.core.adaptive import AdaptiveLimit

# Scenario, and within how many round trips of a call that waits for nothing the limit has found a lower capacity.
CHANGES = [(THROTTLING, 3), (SLOWING, 60), (TIMING_OUT, 40)]


def limits_of(measured: list[Measured]) -> list[int]:
    return list(chain.from_iterable(phase.limits for phase in measured))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("scenario", "round_trips"), CHANGES)
def test_the_limit_follows_the_capacity_down_and_up(scenario: Scenario, round_trips: int, seed: int) -> None:
    before, low, after = simulated(scenario, AdaptiveLimit(CAP), seed=seed)
    assert set(before.limits) == {CAP}
    assert min(low.limits[: round_trips + 1]) <= 1.5 * low.phase.capacity
    assert min(after.limits[60:]) >= 0.9 * CAP
    assert all(1 <= limit <= CAP for limit in limits_of([before, low, after]))


def test_a_throttled_flow_is_asked_little_more_than_it_takes() -> None:
    _, adaptive, _ = simulated(THROTTLING, AdaptiveLimit(CAP))
    _, fixed, _ = simulated(THROTTLING, FixedLimit(CAP))
    assert fixed.strained_share > 0.8
    assert adaptive.strained_share < 0.1
    assert adaptive.answers_per_s > 0.8 * fixed.answers_per_s


def test_callers_of_a_flow_that_is_too_slow_still_get_answers() -> None:
    _, adaptive, _ = simulated(TIMING_OUT, AdaptiveLimit(CAP))
    _, fixed, _ = simulated(TIMING_OUT, FixedLimit(CAP))
    assert fixed.answers_per_s < 0.1 * fixed.phase.capacity
    assert adaptive.answers_per_s > 0.8 * adaptive.phase.capacity


def mostly_quick_s(random: Random) -> float:
    return 0.3 if random.random() < 0.9 else 3.0


def any_s(random: Random) -> float:
    return random.expovariate(1.0)


@pytest.mark.parametrize("run_s", [noisy_s, mostly_quick_s, any_s])
@pytest.mark.parametrize("cap", [5, 100])
def test_a_healthy_flow_never_notices(cap: int, run_s: Callable[[Random], float]) -> None:
    healthy = Scenario(
        name="healthy", phases=(Phase(capacity=cap, lasts_s=100),), callers=2 * cap, run_s=run_s, failing=0.005
    )
    (measured,) = simulated(healthy, AdaptiveLimit(cap))
    assert set(measured.limits) == {cap}


def test_one_failure_in_a_hundred_costs_next_to_nothing() -> None:
    failing = Scenario(name="failing", phases=(Phase(capacity=100, lasts_s=300),), callers=150, failing=0.01)
    (measured,) = simulated(failing, AdaptiveLimit(100))
    assert measured.mean_limit > 90


def test_a_flow_that_is_slower_for_good_is_not_held_back_for_good() -> None:
    _, slower = simulated(SLOWER, AdaptiveLimit(CAP))
    assert min(slower.limits) >= 0.25 * CAP
    assert slower.limits[-1] == CAP


def test_the_picture_is_small_and_well_formed() -> None:
    picture = drawn((THROTTLING, SLOWING, TIMING_OUT))
    assert ET.fromstring(picture).tag.endswith("svg")
    assert len(picture.encode()) < 15_000
