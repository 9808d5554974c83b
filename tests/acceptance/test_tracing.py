"""Traces, as a collector gets them over the wire."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from itertools import count

import pytest
from opentelemetry.sdk.trace import TracerProvider
from support.collector import CollectedSpan, Collector, forget_variables, told_to_the_sdk
from support.house import House, property_of
from support.processes import worker_process

from worker.core.trace import Parent, parent_of
from worker.emulator.standins import Answer, PlatformError
from worker.requester import Requester, TypedReply
from worker.tracing import export

SENDER = Parent(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", is_sampled=False)
UNSAMPLED = f"00-{SENDER.trace_id}-{SENDER.span_id}-00"
WHOLE = "process flow-requests"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_variables(monkeypatch)


@pytest.fixture
async def collector(no_variables: None) -> AsyncIterator[Collector]:
    async with told_to_the_sdk(sends_every_ms=20) as collector:
        yield collector


async def test_a_request_with_all_that_was_done_for_it_is_one_trace_from_its_caller_to_the_reply(
    house: House, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=for-the-collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    house.flow.script("flow", PlatformError(status=503, code="ServiceBusy"), Answer())
    url = house.flow.url_of("flow", sig="never-to-be-told")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("caller")
    async with (
        house.worker({"url": url, "auth": "sas", "retry": {"attempts": 2, "first_s": 0.01}}),
        Requester(connection_string=house.broker.connection_string) as requester,
    ):
        with tracer.start_as_current_span("caller") as span:
            reply = await requester.request({"n": 1}, timeout_s=20, correlation_id="conversation")
            named = {"traceparent": f"00-{SENDER.trace_id}-{SENDER.span_id}-01"}
            await requester.request({"n": 2}, timeout_s=20, properties=named)
    caller = span.get_span_context()
    spans = [span for span in collector.spans if span.trace_id == f"{caller.trace_id:032x}"]
    check_tree(spans, f"{caller.span_id:016x}")
    check_order(spans)
    check_words(spans, reply)
    heard = [parent_of(call.headers) for call in house.flow.calls]
    told = [Parent(trace_id=each.trace_id, span_id=each.span_id, is_sampled=True) for each in named_in(spans, "POST")]
    assert heard[:2] == told
    (answer,) = named_in(spans, "send flow-replies")
    assert reply.properties["traceparent"] == f"00-{answer.trace_id}-{answer.span_id}-01"
    (other,) = [span for span in named_in(collector.spans, WHOLE) if span not in spans]
    assert (other.trace_id, other.parent) == (SENDER.trace_id, SENDER.span_id)  # named, which counts more than current
    check_keys(collector)


def check_tree(spans: list[CollectedSpan], caller: str) -> None:
    (whole,) = named_in(spans, WHOLE)
    assert {span.name: (span.kind, span.parent) for span in spans} == {
        "receive flow-requests": ("CLIENT", caller),
        "process flow-requests": ("CONSUMER", caller),
        "POST": ("CLIENT", whole.span_id),
        "send flow-replies": ("PRODUCER", whole.span_id),
        "complete flow-requests": ("CLIENT", whole.span_id),
    }
    assert len(spans) == 6
    assert whole.links == (caller,)


def check_order(spans: list[CollectedSpan]) -> None:
    """The parts come one after the other, and lie within the whole."""
    (receive,), (whole,) = named_in(spans, "receive flow-requests"), named_in(spans, WHOLE)
    names = ("POST", "send flow-replies", "complete flow-requests")
    parts = [span for name in names for span in named_in(spans, name)]
    ends = [receive.began, receive.ended, *[end for part in parts for end in (part.began, part.ended)]]
    assert ends == sorted(ends)
    assert (whole.began, whole.ended) == (receive.ended, parts[-1].ended)
    assert abs(whole.ended - time.time_ns()) < 60e9


def check_words(spans: list[CollectedSpan], reply: TypedReply) -> None:
    (whole,), (first, second) = named_in(spans, WHOLE), named_in(spans, "POST")
    assert whole.scope == whole.resource["service.name"] == "flowbridge"
    assert whole.resource["deployment.environment.name"] == "test"
    assert whole.attributes["messaging.message.id"] == reply.request_id
    assert whole.attributes["messaging.message.conversation_id"] == "conversation"
    assert whole.attributes["server.address"] == "127.0.0.1"
    assert whole.attributes["flowbridge.run_id"] == reply.run_id
    assert not whole.is_error
    assert (first.is_error, first.attributes["error.type"]) == (True, "503")
    assert (second.is_error, second.attributes["http.response.status_code"]) == (False, 200)


def check_keys(collector: Collector) -> None:
    """The collector gets its own, and no other."""
    (headers, *_) = collector.requests
    assert (headers["api-key"], headers["Content-Encoding"]) == ("for-the-collector", "gzip")
    payload = b"".join(collector.payloads)
    assert b"triggers/manual/paths/invoke" in payload
    assert not [each for each in (b"sig=", b"never-to-be-told", b"SharedAccessKey") if each in payload]


def named_in(spans: Iterable[CollectedSpan], name: str) -> list[CollectedSpan]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.began)


async def test_what_its_sender_does_not_sample_is_passed_on_but_not_recorded(
    house: House, collector: Collector
) -> None:
    async with house.worker():
        properties: dict[str | bytes, object] = {"traceparent": UNSAMPLED, "tracestate": "vendor=opaque"}
        reply = await house.reply(await house.ask(application_properties=properties))
        await house.reply(await house.ask())
    heard = parent_of(house.flow.calls[0].headers)
    answered = parent_of({"traceparent": property_of(reply, "traceparent")})
    assert heard is not None
    assert answered is not None
    assert house.flow.calls[0].headers["tracestate"] == "vendor=opaque"
    assert (heard.trace_id, heard.is_sampled) == (answered.trace_id, answered.is_sampled) == (SENDER.trace_id, False)
    assert len({SENDER.span_id, heard.span_id, answered.span_id}) == 3
    assert SENDER.trace_id not in {span.trace_id for span in collector.spans}
    (second,) = named_in(collector.spans, WHOLE)
    assert second.parent == ""


async def test_a_collector_that_is_not_there_holds_up_neither_an_answer_nor_the_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LONGEST_FLUSH_S", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/traces"
        )
        async with house.worker() as worker:
            reply = await house.reply(await house.ask())
        assert property_of(reply, "outcome") == "answered"
        assert worker.draining.result()


@pytest.mark.timeout(90)
async def test_each_process_of_a_worker_sends_its_own_spans_under_a_name_of_its_own(
    house: House, collector: Collector
) -> None:
    def instances() -> set[str]:
        return {span.resource["service.instance.id"] for span in collector.spans}

    otel = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    async with worker_process(house, environment={**otel, "FLOWBRIDGE_WORKER__PROCESSES": "2"}):
        async with asyncio.timeout(60):
            for asked in count(1):
                await asyncio.gather(*(house.send() for _ in range(8)))
                await collector.spans.until(8 * asked, where=is_whole, within_s=30)
                if len(instances()) == 2:
                    break
    assert len(instances()) == 2


def is_whole(span: CollectedSpan) -> bool:
    return span.name == WHOLE


NOTHING_TRACED = """
import asyncio, json, sys
from worker.app import built
from worker.settings import load

async def main():
    bus = {"connection_string": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=x;SharedAccessKey=x;UseDevelopmentEmulator=true"}
    flows = [{"name": "flow", "url": "http://127.0.0.1:1/", "auth": "none"}]
    settings = load(None, {"FLOWBRIDGE_SERVICEBUS": json.dumps(bus), "FLOWBRIDGE_FLOWS": json.dumps(flows)})
    async with built(settings):
        print([name for name in sys.modules if name.startswith(("opentelemetry", "google.protobuf"))])

asyncio.run(main())
"""


def test_where_nothing_is_traced_nothing_of_it_is_imported() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NOTHING_TRACED],
        env={**os.environ, "OTEL_SERVICE_NAME": "which-makes-no-difference"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
