"""The last minutes' requests by flow: how many ended how, in which time, and what went wrong last.

Kept in steps of the wall clock, so that what several processes tell can be added up.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

STEP_S: Final = 5
STEPS: Final = 60
FAILURES_KEPT: Final = 5
# Times are counted in classes, each a seventh wider than the one before: a quantile is off by that much at most.
_LEAST_S: Final = 0.001
_GROWTH: Final = 1.15

Told: TypeAlias = Mapping[str, Mapping[str, Any]]  # by flow, as JSON can say it


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`at` in epoch seconds."""

    at: float
    outcome: str
    reason: str | None
    http_status: int | None
    request_id: str
    run_id: str | None
    detail: str | None


@dataclass(slots=True)
class _Step:
    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)  # by class


@dataclass(slots=True)
class _Flow:
    steps: deque[_Step] = field(default_factory=deque)
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=FAILURES_KEPT))

    def step(self, number: int) -> _Step:
        while self.steps and self.steps[0].number <= number - STEPS:
            self.steps.popleft()
        while self.steps and self.steps[-1].number > number + 1:  # the clock was ahead: nobody will ask for that soon
            self.steps.pop()
        if not self.steps or self.steps[-1].number < number:
            self.steps.append(_Step(number))
        return self.steps[-1]  # the one after, where the clock was set back by a moment


class Recent:
    """Times `at` are epoch seconds."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}

    def note(self, flow: str, outcome: str, *, took_s: float | None, at: float) -> None:
        """`took_s`: where there was an answer."""
        step = self._flows.setdefault(flow, _Flow()).step(int(at // STEP_S))
        step.outcomes[outcome] += 1
        if took_s is not None:
            step.times[_class_of(took_s)] += 1

    def note_failure(self, flow: str, failure: Failure) -> None:
        self._flows.setdefault(flow, _Flow()).failures.append(failure)

    def told(self) -> Told:
        return {
            name: {
                "steps": [[step.number, dict(step.outcomes), list(step.times.items())] for step in flow.steps],
                "failures": [asdict(failure) for failure in flow.failures],
            }
            for name, flow in self._flows.items()
        }


def flow_summary(tolds: Iterable[Told], flow: str, at: float) -> dict[str, object]:
    """Of all the time that is kept."""
    own = [told[flow] for told in tolds if flow in told]
    outcomes, times = _sums(own, range(_number(at) - STEPS + 1, _number(at) + 1))
    failures = sorted((failure for each in own for failure in each["failures"]), key=lambda each: -each["at"])
    return {
        "outcomes": dict(outcomes),
        "p50_s": _quantile_s(times, 0.5),
        "p99_s": _quantile_s(times, 0.99),
        "errors": failures[:FAILURES_KEPT],
    }


def history(tolds: Iterable[Told], at: float) -> dict[str, object]:
    """Step by step, of all flows together; the last step is still growing."""
    flows = [flow for told in tolds for flow in told.values()]
    last = _number(at)
    by_step: dict[int, tuple[Counter[str], Counter[int]]] = {
        number: (Counter(), Counter()) for number in range(last - STEPS + 1, last + 1)
    }
    for flow in flows:
        for number, outcomes, times in flow["steps"]:
            if number in by_step:
                by_step[number][0].update(outcomes)
                by_step[number][1].update(dict(times))
    seen = sorted({outcome for outcomes, _ in by_step.values() for outcome in outcomes})
    return {
        "step_s": STEP_S,
        "until": (last + 1) * STEP_S,
        "outcomes": {name: [outcomes[name] for outcomes, _ in by_step.values()] for name in seen},
        "p50_s": [_quantile_s(times, 0.5) for _, times in by_step.values()],
        "p99_s": [_quantile_s(times, 0.99) for _, times in by_step.values()],
    }


def _sums(flows: Sequence[Mapping[str, Any]], numbers: range) -> tuple[Counter[str], Counter[int]]:
    all_outcomes: Counter[str] = Counter()
    all_times: Counter[int] = Counter()
    for flow in flows:
        for number, outcomes, times in flow["steps"]:
            if number in numbers:
                all_outcomes.update(outcomes)
                all_times.update(dict(times))
    return all_outcomes, all_times


def _number(at: float) -> int:
    return int(at // STEP_S)


def _class_of(took_s: float) -> int:
    return 0 if took_s <= _LEAST_S else math.ceil(math.log(took_s / _LEAST_S, _GROWTH))


def _quantile_s(times: Counter[int], share: float) -> float | None:
    """The upper end of the class in which it lies; None where nothing was counted."""
    rank = max(1, math.ceil(share * times.total()))
    for kind in sorted(times):
        rank -= times[kind]
        if rank <= 0:
            return round(_LEAST_S * _GROWTH**kind, 4)
    return None
