"""From the environment's variables to what a collector gets, or the log."""

import asyncio
import socket
import sys
import threading
from dataclasses import replace

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from support.collector import Collector

from worker.core.trace import Parent, parent_of
from worker.tracing import export, losses
from worker.tracing.current import current_trace
from worker.tracing.opening import opened
from worker.tracing.variables import is_wanted

from .records import ANSWERED, CONTEXT, QUEUE, SENDER

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
WHOLE = "process flow-requests"
TRACED = replace(ANSWERED, context=CONTEXT)  # in five spans


def as_header(parent: Parent) -> dict[str, str]:
    return {"traceparent": f"00-{parent.trace_id}-{parent.span_id}-{'01' if parent.is_sampled else '00'}"}


@pytest.mark.parametrize(
    ("variables", "is_so"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_an_endpoint_is_what_makes_a_worker_trace(variables: dict[str, str], is_so: bool) -> None:
    assert is_wanted(variables) is is_so


async def test_what_is_recorded_arrives_at_the_latest_with_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "bridge-of-tests")
    async with opened(QUEUE) as tracer:
        assert tracer is not None
        context = tracer.context(as_header(SENDER) | {"tracestate": "vendor=opaque"})
        tracer.record(replace(ANSWERED, context=context))
        assert len(collector.spans) == 0
    assert {(span.trace_id, span.state) for span in collector.spans} == {(SENDER.trace_id, "vendor=opaque")}
    (whole,) = [span for span in collector.spans if span.name == WHOLE]
    assert whole.resource["service.name"] == "bridge-of-tests"
    assert whole.resource["service.version"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Otel")]


async def test_a_request_that_could_not_be_read_has_a_trace_of_its_own(collector: Collector) -> None:
    async with opened(QUEUE) as tracer:
        assert tracer is not None
        tracer.record(replace(ANSWERED, context=None))
    (whole,) = [span for span in collector.spans if not span.parent]
    assert whole.name == WHOLE
    assert {span.parent for span in collector.spans} == {"", whole.span_id}


@pytest.mark.parametrize(
    ("sampler", "expected"),  # of a sampled parent, of one that isn't, of none
    [
        ("parentbased_always_on", [True, False, True]),
        ("parentbased_traceidratio", [True, False, False]),
        ("traceidratio", [False, False, False]),
        ("always_on", [True, True, True]),
    ],
)
async def test_the_sampler_of_the_environment_decides_and_all_are_told(
    sampler: str, expected: list[bool], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    unsampled = replace(SENDER, is_sampled=False)
    async with opened(QUEUE) as tracer:
        assert tracer is not None
        contexts = [tracer.context(trace) for trace in (as_header(SENDER), as_header(unsampled), {})]
        for context in contexts:
            tracer.record(replace(ANSWERED, context=context))
    assert [context.is_sampled for context in contexts] == expected
    told = [parent_of(context.headers("reply")) for context in contexts]
    assert [each.is_sampled for each in told if each is not None] == expected
    assert [context.trace_id == SENDER.trace_id for context in contexts] == [True, True, False]
    wholes = {span.span_id for span in collector.spans if span.name == WHOLE}
    assert wholes == {context.span_id for context in contexts if context.is_sampled}


async def test_a_collector_that_takes_nothing_is_told_of_once_until_it_takes_again(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "QUIET_S", 0.0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic c2VjcmV0")
    collector.answer_with = 401
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
            for number in range(1, 4):
                tracer.record(TRACED)
                await collector.requests.until(number)
            collector.answer_with = 200
            tracer.record(TRACED)
            await collector.spans.until(1)
    told = [line for line in log if line["event"] != "tracing_started"]
    assert [line["event"] for line in told] == ["traces_not_exported", "traces_exported_again"]
    assert "401" in told[0]["failure"]
    assert told[1]["spans_lost"] == 15


async def failure_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once the collector's address was tried, and no more tries are awaited."""
    monkeypatch.setattr(export, "LONGEST_FLUSH_S", 0.1)
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
            tracer.record(TRACED)
        await until_given_up()
    (line,) = [line for line in log if line["event"] == "traces_not_exported"]
    assert caplog.text == ""
    failure: str = line["failure"]
    return failure


async def until_given_up() -> None:
    for thread in threading.enumerate():
        if thread.name in ("last-traces", "OtelBatchSpanRecordProcessor"):
            await asyncio.to_thread(thread.join, 5)


async def test_an_address_that_the_sdk_quotes_is_told_without_its_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/traces"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}?a-key")
        failure = await failure_told(caplog, monkeypatch)
    assert "/v1/traces?***" in failure


async def test_a_header_that_the_sdk_quotes_is_told_without_its_value(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%0Asecret")
    failure = await failure_told(caplog, monkeypatch)
    assert "header value" in failure
    assert "secret" not in failure


async def test_spans_that_find_no_room_are_counted(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "QUIET_S", 0.0)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "12")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "12")
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
            for _ in range(4):  # five spans each, within one turn of the loop, so that nothing is taken
                tracer.record(TRACED)
    told = [line for line in log if line["event"] != "tracing_started"]
    assert [line["event"] for line in told] == ["traces_not_exported", "traces_exported_again"]
    assert "OTEL_BSP_MAX_QUEUE_SIZE is 12" in told[0]["failure"]
    assert told[1]["spans_lost"] + len(collector.spans) == 20


async def test_a_collector_that_says_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LONGEST_FLUSH_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        async with asyncio.timeout(0.9):
            async with opened(QUEUE) as tracer:
                assert tracer is not None
                tracer.record(TRACED)
    await until_given_up()


async def test_an_endpoint_without_the_package_is_warned_of(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "worker.tracing.tracer", None)
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is None
    (line,) = log
    assert line["event"] == "tracing_unavailable"
    assert "install flowbridge[otel]" in line["failure"]


async def test_a_variable_that_the_sdk_refuses_is_warned_of(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-1")
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is None
    (line,) = log
    assert line["event"] == "tracing_unavailable"
    assert "schedule_delay_millis" in line["failure"]


@pytest.mark.parametrize("header", ["api-key: TOPSECRET", "x-api-key TOPSECRET", "x;TOPSECRET", "a=b,TOPSECRET"])
async def test_a_header_that_the_sdk_can_not_read_is_told_of_without_its_value(
    header: str, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", header)
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
    assert [line["event"] for line in log] == ["tracing_misconfigured", "tracing_started"]
    assert log[0]["failure"].startswith("OTEL_EXPORTER_OTLP_HEADERS: expected NAME=VALUE")
    assert "TOPSECRET" not in str(log) + caplog.text


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OTEL_TRACES_SAMPLER": "bogus"}, "recognize sampler bogus"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "abc"}, "TRACES_SAMPLER_ARG"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "abc"}, "Invalid timeout value 'abc'"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zzz"}, "compression type: zzz"),
    ],
)
async def test_what_the_sdk_takes_its_default_for_is_one_event_of_ours(
    variables: dict[str, str],
    told: str,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
            tracer.record(TRACED)
    assert [line["event"] for line in log] == ["tracing_misconfigured", "tracing_started"]
    assert told in log[0]["failure"]
    assert caplog.text == ""
    assert len(collector.spans) == 5


@pytest.mark.parametrize("url", ["not-a-url", "collector:4318", "http://", "http://[x?key=TOPSECRET", "http://x:0/"])
async def test_an_endpoint_that_is_no_url_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is None
    (line,) = log
    assert line["event"] == "tracing_unavailable"
    assert line["failure"].startswith("OTEL_EXPORTER_OTLP_ENDPOINT: expected the collector's URL")
    assert "TOPSECRET" not in line["failure"]


async def test_another_protocol_than_http_is_warned_of_and_not_spoken(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with structlog.testing.capture_logs() as log:
        async with opened(QUEUE) as tracer:
            assert tracer is not None
            tracer.record(TRACED)
    (line,) = [line for line in log if line["event"] == "tracing_over_http"]
    assert "'grpc'" in line["failure"]
    assert len(collector.spans) == 5


def test_the_span_that_is_current_is_what_a_request_carries() -> None:
    assert current_trace() == {}
    with TracerProvider(shutdown_on_exit=False).get_tracer("caller").start_as_current_span("caller") as span:
        context = span.get_span_context()
        parent = parent_of(current_trace())
    assert parent == Parent(trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}", is_sampled=True)
