"""Read when somebody asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.bridge.pump import PumpFacts
from worker.core.breaker import Circuit
from worker.flow.gate import GateFacts
from worker.flow.token import TokenState
from worker.release import release
from worker.servicebus.outbox import OutboxFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    is_ready: bool
    pump: PumpFacts
    flows: Mapping[str, GateFacts]
    tokens: Sequence[TokenState]
    replies: Mapping[str, OutboxFacts]  # by queue
    workers: int
    loop_lag_s: float
    wait_used: float


class FactsCollector(Collector):
    def __init__(self, read: Callable[[], WorkerFacts]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would ask for the facts at once, when there are none yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        facts = self._read()
        yield _gauge("build_info", "Always 1.", ["version"], [((release(),), 1)])
        yield from _of_pump(facts)
        yield from _of_flows(facts.flows)
        yield from _of_tokens(facts.tokens)
        yield from _of_replies(facts.replies)
        yield _one("fleet_workers", "Workers that share what the flows take.", facts.workers)
        yield _one("loop_lag_seconds", "By how much the event loop was late, at worst in 10 s.", facts.loop_lag_s)
        yield _one(
            "wait_used_ratio",
            "Of the time that requests could wait in the queue, what the slowest tenth of the last minute used; "
            "without flows that take no more calls.",
            facts.wait_used,
        )


def _of_pump(facts: WorkerFacts) -> Iterator[Metric]:
    pump = facts.pump
    yield _one("ready", "1 while /readyz says ready.", facts.is_ready)
    yield _one("draining", "1 once the worker was told to stop.", pump.is_stopping)
    yield _one("intake_paused", "1 while no flow has its credentials, so that nothing is received.", pump.is_paused)
    yield _one("lanes", "Receivers on duty.", pump.lanes)
    yield _one("lanes_receiving", "Receivers whose link is open.", pump.lanes_receiving)
    yield _one("slots", "Requests that may be in flight.", pump.slots)
    yield _one("slots_free", "Slots that neither a request nor one that is asked for holds.", pump.slots_free)
    yield _one("in_flight", "Requests in flight.", pump.in_flight)
    yield _sum("lock_renewals", "Locks that were renewed.", pump.renewals)
    yield _sum("locks_lost", "Locks that ended while their requests were in flight.", pump.locks_lost)
    yield _sum("settlements_unconfirmed", "Settlements said, of which nothing was heard.", pump.unconfirmed)
    yield _sum("bus_outages", "Times a receiver lost its link, or could not open it.", pump.outages)


def _of_flows(flows: Mapping[str, GateFacts]) -> Iterator[Metric]:
    def by_flow(name: str, help_: str, value: Callable[[GateFacts], float]) -> Metric:
        return _gauge(name, help_, ["flow"], [((flow,), value(gate)) for flow, gate in flows.items()])

    yield by_flow("flow_in_flight", "Calls under way.", lambda gate: gate.in_flight)
    yield by_flow("flow_waiting", "Calls that wait for one of the flow's slots.", lambda gate: gate.waiting)
    yield by_flow("flow_limit", "Calls that may be under way now.", lambda gate: gate.limit)
    yield by_flow("flow_limit_max", "This worker's share of the flow's concurrency.", lambda gate: gate.most)
    states = [((flow, state.value), float(gate.circuit is state)) for flow, gate in flows.items() for state in Circuit]
    yield _gauge("circuit_state", "1 for the state that the flow's circuit is in.", ["flow", "state"], states)
    openings = CounterMetricFamily(
        "flowbridge_circuit_openings", "Times the flow's circuit opened after failures.", labels=["flow"]
    )
    for flow, gate in flows.items():
        openings.add_metric([flow], gate.openings)
    yield openings


def _of_tokens(tokens: Sequence[TokenState]) -> Iterator[Metric]:
    held = [token for token in tokens if token.age_s is not None]
    ages = [((token.scope,), token.age_s or 0.0) for token in held]
    left = [((token.scope,), token.usable_s or 0.0) for token in held]
    yield _gauge("token_age_seconds", "Since when the token is held.", ["scope"], ages)
    yield _gauge("token_expires_in_seconds", "How long the token may still be used.", ["scope"], left)
    failures = CounterMetricFamily("flowbridge_token_failures", "Tokens asked for in vain.", labels=["scope"])
    for token in tokens:
        failures.add_metric([token.scope], token.failures)
    yield failures


def _of_replies(replies: Mapping[str, OutboxFacts]) -> Iterator[Metric]:
    sent = CounterMetricFamily("flowbridge_replies", "Replies that the broker accepted.", labels=["queue"])
    batches = CounterMetricFamily("flowbridge_reply_batches", "Sends that they went out in.", labels=["queue"])
    for queue, facts in replies.items():
        sent.add_metric([queue], facts.sent)
        batches.add_metric([queue], facts.batches)
    yield sent
    yield batches


def _one(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"flowbridge_{name}", help_, value=float(value))


def _sum(name: str, help_: str, value: int) -> Metric:
    return CounterMetricFamily(f"flowbridge_{name}", help_, value=value)


def _gauge(name: str, help_: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(f"flowbridge_{name}", help_, labels=labels)
    for own, value in values:
        family.add_metric(own, value)
    return family
