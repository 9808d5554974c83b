"""A collector of traces on loopback: OTLP over HTTP, as it goes over the wire."""

import gzip
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from worker.emulator.standins import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedSpan:
    """Ids in hexadecimal; `parent` is empty where there is none. Times in nanoseconds since the epoch."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    began: int
    ended: int
    attributes: Mapping[str, Any]
    links: tuple[str, ...]
    is_error: bool
    why: str
    state: str
    scope: str
    resource: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Collector:
    """`answer_with`: a status instead of taking what comes."""

    url: str
    spans: Recorded[CollectedSpan] = field(default_factory=Recorded)
    requests: Recorded[Mapping[str, str]] = field(default_factory=Recorded)  # their headers
    payloads: list[bytes] = field(default_factory=list)
    answer_with: int = 200

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        if self.answer_with == 200:
            self.payloads.append(body)
            for span in read(body):
                self.spans.add(span)
        self.requests.add(dict(request.headers))
        return web.Response(
            status=self.answer_with,
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def open_collector() -> AsyncIterator[Collector]:
    collector = Collector(url="")
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


@asynccontextmanager
async def told_to_the_sdk(*, sends_every_ms: int) -> AsyncIterator[Collector]:
    """A collector, in the variables that OpenTelemetry's SDKs read."""
    with pytest.MonkeyPatch.context() as patch:
        async with open_collector() as collector:
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
            patch.setenv("OTEL_BSP_SCHEDULE_DELAY", str(sends_every_ms))
            yield collector


def forget_variables(patch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own environment says."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        patch.delenv(name)


def read(body: bytes) -> list[CollectedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _span(span, scope.scope.name, _attributes(resource.resource.attributes))
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: Span, scope: str, resource: Mapping[str, Any]) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        why=span.status.message,
        state=span.trace_state,
        scope=scope,
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
