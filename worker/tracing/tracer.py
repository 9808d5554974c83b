"""The bridge's `Tracing`: which trace a request belongs to, and afterwards the spans of the work on it."""

import asyncio
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

from worker.bridge.observed import Observed
from worker.core.trace import TRACE_STATE, TraceContext, parent_of
from worker.tracing.export import Export
from worker.tracing.sdk_log import SdkLog
from worker.tracing.spans import Spans, remote, state_of
from worker.tracing.spec import TraceSpec

NAME: Final = "flowbridge"
_UNNAMED: Final = "unknown_service"  # how the SDK begins the name of a service that nobody named

_NOWHERE: Final = Context()


class Tracer:
    def __init__(self, spans: Spans, export: Export, provider: TracerProvider) -> None:
        self._spans = spans
        self._export = export
        self._sampler = provider.sampler
        self._ids = provider.id_generator

    @classmethod
    def of_environment(cls, spec: TraceSpec, sdk: SdkLog) -> Self:
        """Closes `sdk` in the end. Raises what the SDK raises for variables that it can't read."""
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        return cls(Spans(spec, provider.resource, scope=NAME), Export(sdk), provider)

    def context(self, trace: Mapping[str, str]) -> TraceContext:
        """Also what isn't sampled has ids, which tell whoever comes next that it isn't."""
        parent = parent_of(trace)
        if parent is None:
            trace_id, around = self._ids.generate_trace_id(), _NOWHERE
        else:
            sent = remote(parent, state_of(trace.get(TRACE_STATE)))
            trace_id, around = sent.trace_id, set_span_in_context(NonRecordingSpan(sent), _NOWHERE)
        name, attributes = self._spans.to_be_sampled
        sampled = self._sampler.should_sample(around, trace_id, name, SpanKind.CONSUMER, attributes)
        return TraceContext(
            trace_id=f"{trace_id:032x}",
            span_id=f"{self._ids.generate_span_id():016x}",
            parent=parent,
            state=sampled.trace_state.to_header() if sampled.trace_state else None,
            is_sampled=sampled.decision is Decision.RECORD_AND_SAMPLE,
        )

    def record(self, observed: Observed) -> None:
        """A request that couldn't be read has no context, and so a trace of its own."""
        context = self.context({}) if observed.context is None else observed.context
        if context.is_sampled:
            epoch_ns = time.time_ns() - round(asyncio.get_running_loop().time() * 1e9)
            for span in self._spans.of(observed, context, epoch_ns):
                self._export.give(span)

    async def close(self) -> None:
        await self._export.close()


def _resource() -> Resource:
    """What the environment says of it counts more than what we do."""
    resource = Resource({SERVICE_VERSION: version(NAME)}).merge(Resource.create())
    if str(resource.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: NAME}))
    return resource
