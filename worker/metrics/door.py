"""What the door tells Prometheus. Labels are routes, statuses and outcomes: never a flow that was asked for, which any
caller may make up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.release import release

_WAITS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorFacts:
    """`held`: requests that something is known of; `held_bytes`: their answers, mostly."""

    is_ready: bool
    is_draining: bool
    is_listening: bool
    in_hand: int
    most_in_hand: int
    held: int
    held_bytes: int
    forwarded: int
    foreign: int
    reconnects: int
    loop_lag_s: float
    outcomes: Mapping[str, int]


class DoorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._responses = Counter(
            "responses", "Responses by route and status.", ["route", "status"], **_OURS, registry=registry
        )
        self._seconds = Histogram(
            "response_seconds",
            "From a request's headers to its response, waiting included.",
            ["route"],
            **_OURS,
            registry=registry,
            buckets=_WAITS_S,
        )

    def responded(self, route: str, status: int, took_s: float) -> None:
        self._responses.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(took_s)


class DoorCollector(Collector):
    def __init__(self, read: Callable[[], DoorFacts]) -> None:
        self._read = read

    def describe(self) -> tuple[Metric, ...]:
        """Nothing: a registry would ask for the facts at once, when there are none yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        facts = self._read()
        build = GaugeMetricFamily("flowbridge_build_info", "Always 1.", labels=["version"])
        build.add_metric([release()], 1)
        yield build
        yield _gauge("ready", "1 while /readyz says ready.", facts.is_ready)
        yield _gauge("draining", "1 once the door was told to stop.", facts.is_draining)
        yield _gauge("listening", "1 while the session for answers is open.", facts.is_listening)
        yield _gauge("in_hand", "Requests over HTTP that are being answered.", facts.in_hand)
        yield _gauge("in_hand_max", "As many as may be.", facts.most_in_hand)
        yield _gauge("held", "Requests that something is known of.", facts.held)
        yield _gauge("held_bytes", "What they take.", facts.held_bytes)
        yield _gauge("loop_lag_seconds", "By how much the event loop was late, at worst in 10 s.", facts.loop_lag_s)
        yield _counter("forwarded", "Requests that another replica answered.", facts.forwarded)
        yield _counter("foreign_answers", "Answers to nothing that a door asked.", facts.foreign)
        yield _counter("reconnects", "Times the session for answers was lost.", facts.reconnects)
        answers = CounterMetricFamily("flowbridge_door_answers", "Answers that came, by outcome.", labels=["outcome"])
        for outcome, count in facts.outcomes.items():
            answers.add_metric([outcome], count)
        yield answers


_OURS: Final = {"namespace": "flowbridge", "subsystem": "door"}


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"flowbridge_door_{name}", help_, value=float(value))


def _counter(name: str, help_: str, value: int) -> Metric:
    return CounterMetricFamily(f"flowbridge_door_{name}", help_, value=value)
