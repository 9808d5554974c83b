"""What the adaptive limit makes of a flow whose capacity changes: in virtual time, so it's the same on any machine.

60 callers, who call again as soon as they have their answer, share 40 places. The flow takes as many calls at once as
its capacity says, about 1 s each; what it does with more is the scenario:

  throttling   429 after 50 ms; such a caller comes back after up to a second
  slowing      they wait in line there
  timing out   they wait in line, too, but their callers give up after 3 s; what is in the line is run all the same
  slower       no line: from the second phase on each call simply takes four times as long

For each phase: the mean limit, the answers a second, and the share of calls that ended in a 429 or a time-out; each
with the adaptive limit and with the 40 places fixed. --svg FILE draws the limit over the capacity.
"""

import argparse
import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, pairwise
from math import inf
from pathlib import Path
from random import Random
from typing import Final, Protocol

from worker.core.adaptive import AdaptiveLimit, Strain

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import rig

CAP: Final = 40
THROTTLED_AFTER_S: Final = 0.05


class Limit(Protocol):
    @property
    def limit(self) -> int: ...

    def ended(self, strain: Strain, *, started_at: float, took_s: float, in_flight: int, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class FixedLimit:
    limit: int

    def ended(self, strain: Strain, *, started_at: float, took_s: float, in_flight: int, now: float) -> None:
        """Learns nothing."""


def noisy_s(random: Random) -> float:
    """About a second, now and then half of it or twice as much."""
    return random.lognormvariate(0.0, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    capacity: int
    lasts_s: float
    slowness: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    phases: tuple[Phase, ...]
    callers: int = 60
    throttles: bool = False
    time_out_s: float = inf
    failing: float = 0.0  # share of calls that end in a 5xx whatever the load
    run_s: Callable[[Random], float] = noisy_s


UP_AND_DOWN: Final = (
    Phase(capacity=40, lasts_s=60),
    Phase(capacity=10, lasts_s=180),
    Phase(capacity=40, lasts_s=120),
)
THROTTLING: Final = Scenario(name="throttling", phases=UP_AND_DOWN, throttles=True)
SLOWING: Final = Scenario(name="slowing", phases=UP_AND_DOWN)
TIMING_OUT: Final = Scenario(name="timing out", phases=UP_AND_DOWN, time_out_s=3.0)
SLOWER: Final = Scenario(
    name="slower", phases=(Phase(capacity=40, lasts_s=60), Phase(capacity=40, lasts_s=300, slowness=4.0))
)


@dataclass(slots=True, kw_only=True)
class Measured:
    """Of one phase. `limits`: once a second."""

    phase: Phase
    limits: list[int] = field(default_factory=list)
    answered: int = 0
    strained: int = 0

    @property
    def mean_limit(self) -> float:
        return sum(self.limits) / len(self.limits)

    @property
    def answers_per_s(self) -> float:
        return self.answered / self.phase.lasts_s

    @property
    def strained_share(self) -> float:
        return self.strained / (self.answered + self.strained)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + delay_s, next(self._serial), act))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] < until:
            self.now, _, act = heapq.heappop(self._due)
            act()
        self.now = until


class Flow:
    def __init__(self, scenario: Scenario, clock: Clock, random: Random) -> None:
        self.phase = scenario.phases[0]
        self._scenario, self._clock, self._random = scenario, clock, random
        self._running = 0
        self._line: deque[Callable[[Strain], None]] = deque()

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self._admit()

    def call(self, answer: Callable[[Strain], None]) -> None:
        if self._scenario.throttles and self._running >= self.phase.capacity:
            self._clock.after(THROTTLED_AFTER_S, lambda: answer(Strain.THROTTLED))
            return
        self._line.append(answer)
        self._admit()

    def _admit(self) -> None:
        while self._line and self._running < self.phase.capacity:
            self._running += 1
            takes_s = self._scenario.run_s(self._random) * self.phase.slowness
            self._clock.after(takes_s, self._ending(self._line.popleft()))

    def _ending(self, answer: Callable[[Strain], None]) -> Callable[[], None]:
        def end() -> None:
            self._running -= 1
            self._admit()
            answer(Strain.OVERLOADED if self._random.random() < self._scenario.failing else Strain.NONE)

        return end


class Callers:
    def __init__(self, scenario: Scenario, limit: Limit, clock: Clock, random: Random) -> None:
        self.flow = Flow(scenario, clock, random)
        self.measured = Measured(phase=self.flow.phase)
        self._limit, self._clock, self._random = limit, clock, random
        self._time_out_s = scenario.time_out_s
        self._ready = scenario.callers
        self._in_flight = 0

    def enter(self, phase: Phase) -> Measured:
        self.measured = Measured(phase=phase)
        self.flow.enter(phase)
        self._start()
        return self.measured

    def look(self) -> None:
        self.measured.limits.append(self._limit.limit)
        self._clock.after(1.0, self.look)

    def _start(self) -> None:
        while self._ready and self._in_flight < self._limit.limit:
            self._ready -= 1
            self._in_flight += 1
            self._call()

    def _call(self) -> None:
        started_at, is_over = self._clock.now, False

        def end(strain: Strain) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._ended(strain, started_at)

        self.flow.call(end)
        if self._time_out_s < inf:
            self._clock.after(self._time_out_s, lambda: end(Strain.OVERLOADED))

    def _ended(self, strain: Strain, started_at: float) -> None:
        now = self._clock.now
        took_s = now - started_at
        self._limit.ended(strain, started_at=started_at, took_s=took_s, in_flight=self._in_flight, now=now)
        self._in_flight -= 1
        self.measured.answered += strain is Strain.NONE
        self.measured.strained += strain is not Strain.NONE
        is_throttled = strain is Strain.THROTTLED
        self._clock.after(self._random.random() if is_throttled else 0.0, self._come_back)
        self._start()

    def _come_back(self) -> None:
        self._ready += 1
        self._start()


def simulated(scenario: Scenario, limit: Limit, *, seed: int = 1) -> list[Measured]:
    clock, random = Clock(), Random(seed)
    callers = Callers(scenario, limit, clock, random)
    clock.after(0.0, callers.look)
    measured, ends_at = [], 0.0
    for phase in scenario.phases:
        measured.append(callers.enter(phase))
        ends_at += phase.lasts_s
        clock.run(ends_at)
    return measured


# The table


def rows(scenario: Scenario) -> Iterable[list[str]]:
    adaptive, fixed = simulated(scenario, AdaptiveLimit(CAP)), simulated(scenario, FixedLimit(CAP))
    for ours, theirs in zip(adaptive, fixed, strict=True):
        yield [
            scenario.name,
            str(ours.phase.capacity),
            f"{ours.mean_limit:.1f}",
            *(f"{measured.answers_per_s:.1f}" for measured in (ours, theirs)),
            *(f"{measured.strained_share:.1%}" for measured in (ours, theirs)),
        ]


HEAD: Final = ("", "capacity", "limit", "answers/s", f"at {CAP} fixed", "429 or late", f"at {CAP} fixed")

# The picture: middle tones on nothing, to be read on light and dark pages alike

WIDTH: Final = 720
LEFT: Final = 46
RIGHT: Final = 8
PANEL_HEIGHT: Final = 120
PLOT_HEIGHT: Final = 80
TITLE_HEIGHT: Final = 24
INK: Final = "#808892"
CAPACITY_INK: Final = "#c77d12"
LIMIT_INK: Final = "#3b82e0"


def drawn(scenarios: Sequence[Scenario]) -> str:
    """SVG: a panel for each, the limit over the capacity."""
    panels = "\n".join(
        _panel(scenario, TITLE_HEIGHT + PANEL_HEIGHT * place) for place, scenario in enumerate(scenarios)
    )
    height = TITLE_HEIGHT + PANEL_HEIGHT * len(scenarios)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" \
font-family="system-ui, sans-serif" font-size="12" fill="{INK}">
<title>The adaptive limit follows a flow whose capacity falls from 40 to 10 calls at once and returns</title>
<text x="{LEFT}" y="14" fill="{LIMIT_INK}" font-weight="600">adaptive limit</text>
<text x="{LEFT + 120}" y="14" fill="{CAPACITY_INK}" font-weight="600">the flow's capacity (calls at once)</text>
{panels}
</svg>
"""


def _panel(scenario: Scenario, top: float) -> str:
    measured = simulated(scenario, AdaptiveLimit(CAP))
    whole_s = sum(phase.lasts_s for phase in scenario.phases)

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at_s / whole_s

    def y(calls: float) -> float:
        return top + TITLE_HEIGHT + PLOT_HEIGHT * (1 - calls / CAP)

    def stairs(steps: list[tuple[float, float]]) -> str:
        corners = [(x(steps[0][0]), y(steps[0][1]))]
        for (_, before), (at_s, after) in pairwise([*steps, (whole_s, steps[-1][1])]):
            if before != after or at_s == whole_s:
                corners += [(x(at_s), y(before)), (x(at_s), y(after))]
        return " ".join(f"{across:.0f},{down:.0f}" for across, down in corners)

    capacities, began_s = [], 0.0
    for phase in scenario.phases:
        capacities.append((began_s, float(phase.capacity)))
        began_s += phase.lasts_s
    limits = [(float(at_s), float(limit)) for at_s, limit in enumerate(chain.from_iterable(m.limits for m in measured))]
    bottom = y(0)
    ticks = "".join(
        f'<text x="{x(second):.0f}" y="{bottom + 13:.0f}" text-anchor="middle">{second} s</text>'
        for second in range(60, round(whole_s), 60)
    )
    return f"""<text x="{LEFT}" y="{top + 16:.0f}" font-weight="600">{scenario.name}</text>
<path d="M{LEFT},{y(CAP):.0f}H{WIDTH - RIGHT}M{LEFT},{bottom:.0f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity=".35"/>
<g text-anchor="end"><text x="{LEFT - 6}" y="{y(CAP) + 4:.0f}">{CAP}</text>\
<text x="{LEFT - 6}" y="{bottom + 4:.0f}">0</text></g>{ticks}
<g fill="none" stroke-linejoin="round"><polyline points="{stairs(capacities)}" stroke="{CAPACITY_INK}" \
stroke-width="2" stroke-dasharray="6 4"/>
<polyline points="{stairs(limits)}" stroke="{LIMIT_INK}" stroke-width="2"/></g>"""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the first three scenarios into it")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    rig.say_table(HEAD, *(row for scenario in (THROTTLING, SLOWING, TIMING_OUT, SLOWER) for row in rows(scenario)))
    if options.svg is not None:
        options.svg.write_text(drawn((THROTTLING, SLOWING, TIMING_OUT)), encoding="utf-8")


if __name__ == "__main__":
    main(options())
