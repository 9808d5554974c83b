"""What scrapers get, of odd requests and for odd wishes."""

from dataclasses import replace

import orjson
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families as parsed
from support.observed import ANSWERED

from worker.core.trace import TraceContext
from worker.metrics.exposition import exposition, registry_of_processes, told
from worker.metrics.requests import RequestMetrics

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def values(text: bytes) -> dict[str, float]:
    return {sample.name: sample.value for family in parsed(text.decode()) for sample in family.samples}


def told_by_the_supervisor(registry: CollectorRegistry) -> dict[str, float]:
    over_the_line = orjson.loads(orjson.dumps(told(registry)))
    return values(exposition(registry_of_processes(lambda: {0: over_the_line}), "").body)


def test_a_callers_endless_time_out_leaves_a_sum_that_means_something() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry, ["credit-check"])
    for _ in range(2):
        metrics.note(replace(ANSWERED, times=replace(ANSWERED.times, deadline=1.7e308)))
    assert told_by_the_supervisor(registry)["flowbridge_reply_slack_seconds_sum"] == 2 * 86_400


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1.5])
def test_a_number_that_json_does_not_know_goes_from_a_process_to_the_scraper(value: float) -> None:
    registry = CollectorRegistry()
    Gauge("odd", "Odd.", registry=registry).set(value)
    assert told_by_the_supervisor(registry)["odd"] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    "accept", ["", ";;=", "text/plain;version=a;escaping=b", "application/openmetrics-text;version=x;escaping="]
)
def test_who_asks_for_what_is_no_format_gets_one_all_the_same(accept: str) -> None:
    assert exposition(CollectorRegistry(), accept).content_type.startswith("text/plain")


@pytest.mark.parametrize("is_sampled", [True, False])
def test_an_exemplar_leads_to_a_trace_that_is_kept(is_sampled: bool) -> None:
    registry = CollectorRegistry()
    context = TraceContext(
        trace_id=TRACE_ID, span_id="53995c3f42cd8ad8", parent=None, state=None, is_sampled=is_sampled
    )
    RequestMetrics(registry, ["credit-check"]).note(replace(ANSWERED, trace_id=TRACE_ID, context=context))
    assert (TRACE_ID in exposition(registry, OPENMETRICS).body.decode()) is is_sampled
