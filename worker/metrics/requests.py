"""Counted as requests end."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from worker.bridge.observed import Observed
from worker.core.outcome import Outcome
from worker.core.settlement import Abandon, Complete, DeadLetter, LeaveLocked

NO_FLOW: Final = "(none)"  # the label where no route was found

_WAITS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_CALLS_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240)
_SLACKS_S: Final = (0, 0.5, 1, 2.5, 5, 10, 30, 60, 100, 300, 3600)
_MOST_SLACK_S: Final = 86_400.0  # so that one sender's odd time-out isn't all of the sum

_SETTLEMENTS: Final = {
    Complete.__name__: "complete",
    DeadLetter.__name__: "dead-letter",
    Abandon.__name__: "abandon",
    LeaveLocked.__name__: "leave-locked",
}


@dataclass(frozen=True, slots=True)
class _OfFlow:
    """Found by its labels a series costs more than to count."""

    critical_time: Histogram
    slack: Histogram
    queue_wait: Histogram
    call: Histogram


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry, flows: Iterable[str]) -> None:
        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(name, help_, labels, namespace="flowbridge", registry=registry)

        def histogram(name: str, help_: str, bounds_s: tuple[float, ...]) -> Histogram:
            return Histogram(name, help_, ["flow"], namespace="flowbridge", registry=registry, buckets=bounds_s)

        self._requests = counter("requests", "Requests that ended, by flow and outcome.", "flow", "outcome")
        self._dead_letters = counter("dead_letters", "Requests dead-lettered by the worker.", "flow", "reason")
        self._redeliveries = counter("redeliveries", "Copies put back on the queue for later.", "flow")
        self._handed_back = counter("handed_back", "Deliveries that ended without an end for the request.", "flow")
        self._attempts = counter("attempts", "HTTP requests to flows, by what came back.", "flow", "result")
        self._settlements = counter(
            "settlements", "Settlements, by what the broker made of it.", "settlement", "result"
        )
        self._defects = counter("defects", "Errors of the bridge's own.")
        self._critical_time = histogram("critical_time_seconds", "From the queue to the published reply.", _WAITS_S)
        self._slack = histogram("reply_slack_seconds", "Left of the deadline at the reply; 0: too late.", _SLACKS_S)
        self._queue_wait = histogram("queue_wait_seconds", "From the queue to a worker's slot.", _WAITS_S)
        self._call = histogram("call_seconds", "A delivery's call of its flow, with all its attempts.", _CALLS_S)
        self._flows: dict[str, _OfFlow] = {}
        self._series: dict[tuple[Counter | str, ...], Counter] = {}
        for flow in flows:  # so that a rate can be seen from the first request on
            self._of(flow)
            self._redeliveries.labels(flow)
            self._handed_back.labels(flow)
            for outcome in Outcome:
                self._requests.labels(flow, outcome.value)

    def note(self, observed: Observed) -> None:
        flow = observed.flow or NO_FLOW
        own = self._of(flow)
        own.queue_wait.observe(observed.queue_wait_s)
        if observed.tries:
            own.call.observe(observed.call_s)
            for attempt in observed.tries:
                self._count(self._attempts, flow, attempt.result)
        if observed.copy_in_s is not None:
            self._count(self._redeliveries, flow)
        elif observed.is_ended and observed.outcome is not None:
            self._count(self._requests, flow, observed.outcome.value)
        else:
            self._count(self._handed_back, flow)
        if observed.dead_letter is not None and observed.is_ended:
            self._count(self._dead_letters, flow, observed.dead_letter)
        if observed.defect is not None:
            self._defects.inc()
        self._count(self._settlements, _SETTLEMENTS[observed.settlement], observed.settled.value.replace("_", "-"))
        self._note_reply(own, observed)

    def _note_reply(self, own: _OfFlow, observed: Observed) -> None:
        if observed.reply_s is None:
            return
        is_kept = observed.context is None or observed.context.is_sampled  # else it would lead nowhere
        exemplar = {"trace_id": observed.trace_id} if is_kept and observed.trace_id is not None else None
        own.critical_time.observe(observed.reply_s, exemplar)
        if observed.slack_s is not None:
            # OpenMetrics has no sum of what may be negative.
            own.slack.observe(min(max(0.0, observed.slack_s), _MOST_SLACK_S), exemplar)

    def _count(self, counter: Counter, *labels: str) -> None:
        series = self._series.get((counter, *labels))
        if series is None:
            series = self._series[counter, *labels] = counter.labels(*labels)
        series.inc()

    def _of(self, flow: str) -> _OfFlow:
        own = self._flows.get(flow)
        if own is None:
            own = self._flows[flow] = _OfFlow(
                critical_time=self._critical_time.labels(flow),
                slack=self._slack.labels(flow),
                queue_wait=self._queue_wait.labels(flow),
                call=self._call.labels(flow),
            )
        return own
