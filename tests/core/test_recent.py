"""What is kept of the last minutes, and how several processes' are added up."""

from collections import Counter

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.recent import FAILURES_KEPT, STEP_S, STEPS, Failure, Recent, flow_summary, history

NOW = 1_700_000_003.0
KEPT_S = STEP_S * STEPS

Note = tuple[str, str, float, float]  # flow, outcome, took, how long ago
notes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["answered", "refused"]),
        st.floats(0.0001, 300.0),
        st.floats(0, 2 * KEPT_S),
    )
)


def recent_of(noted: list[Note]) -> Recent:
    recent = Recent()
    for flow, outcome, took_s, ago_s in sorted(noted, key=lambda each: -each[3]):
        recent.note(flow, outcome, took_s=took_s, at=NOW - ago_s)
    return recent


@settings(deadline=None)
@given(notes, notes)
def test_two_processes_tell_together_what_one_would_have_told(first: list[Note], second: list[Note]) -> None:
    together = [orjson.loads(orjson.dumps(recent_of(each).told())) for each in (first, second)]
    alone = [recent_of(first + second).told()]
    assert history(together, NOW) == history(alone, NOW)
    for flow in ("a", "b"):
        assert flow_summary(together, flow, NOW) == flow_summary(alone, flow, NOW)


@settings(deadline=None)
@given(notes)
def test_what_is_counted_is_what_ended_within_the_time_that_is_kept(noted: list[Note]) -> None:
    first_step = int(NOW // STEP_S) - STEPS + 1
    within = Counter(outcome for _, outcome, _, ago_s in noted if (NOW - ago_s) // STEP_S >= first_step)
    told = [recent_of(noted).told()]
    outcomes = history(told, NOW)["outcomes"]
    assert isinstance(outcomes, dict)
    assert {name: sum(steps) for name, steps in outcomes.items()} == within
    assert all(len(steps) == STEPS for steps in outcomes.values())


@given(st.lists(st.floats(0.001, 300.0), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_quantile_is_right_but_for_a_seventh(times_s: list[float], share: float) -> None:
    recent = recent_of([("a", "answered", took_s, 0.0) for took_s in times_s])
    exact_s = sorted(times_s)[max(0, -int(-share * len(times_s) // 1) - 1)]
    told_s = flow_summary([recent.told()], "a", NOW)["p50_s" if share == 0.5 else "p99_s"]
    assert isinstance(told_s, float)
    assert exact_s * 0.999 - 0.0001 <= told_s <= exact_s * 1.16 + 0.0001


def test_without_requests_there_is_no_time_to_tell() -> None:
    assert flow_summary([], "a", NOW) == {"outcomes": {}, "p50_s": None, "p99_s": None, "errors": []}
    assert history([], NOW)["outcomes"] == {}


def test_of_failures_the_latest_are_kept_and_told_first() -> None:
    recents = [Recent(), Recent()]
    for number in range(2 * FAILURES_KEPT):
        failure = Failure(
            at=number,
            outcome="refused",
            reason=None,
            http_status=400,
            request_id=str(number),
            run_id=None,
            detail=None,
        )
        recents[number % 2].note_failure("a", failure)
    errors = flow_summary([recent.told() for recent in recents], "a", NOW)["errors"]
    assert isinstance(errors, list)
    assert [each["request_id"] for each in errors] == ["9", "8", "7", "6", "5"]


def test_a_clock_that_is_set_back_by_a_moment_loses_nothing() -> None:
    recent = Recent()
    recent.note("a", "answered", took_s=1.0, at=NOW)
    recent.note("a", "answered", took_s=1.0, at=NOW - STEP_S)
    assert flow_summary([recent.told()], "a", NOW)["outcomes"] == {"answered": 2}


@pytest.mark.parametrize("ahead_s", [60, 86_400])
def test_what_ends_after_the_clock_was_set_back_is_seen_at_once(ahead_s: float) -> None:
    recent = Recent()
    recent.note("a", "answered", took_s=1.0, at=NOW + ahead_s)
    recent.note("a", "refused", took_s=None, at=NOW)
    assert flow_summary([recent.told()], "a", NOW)["outcomes"] == {"refused": 1}
    assert len(recent.told()["a"]["steps"]) == 1


@pytest.mark.parametrize("minutes", [1, 60])
def test_memory_is_bounded_by_the_time_that_is_kept(minutes: int) -> None:
    recent = Recent()
    for second in range(60 * minutes):
        recent.note("a", "answered", took_s=None, at=NOW + second)
    assert len(recent.told()["a"]["steps"]) <= STEPS
