"""The spans of one delivery: the work on it, and as its parts the attempts at the flow, the reply, the settlement."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from worker.bridge.observed import Observed
from worker.core.attempt import Attempt
from worker.core.outcome import Outcome
from worker.core.redaction import fit_to_show
from worker.core.settlement import Settled
from worker.core.trace import REPLY_PART, Parent, TraceContext, attempt_part
from worker.tracing import attributes as said
from worker.tracing.attributes import ERROR_TYPE, Attributes
from worker.tracing.spec import TraceSpec

_RECEIVE_PART: Final = "receive"
_SETTLE_PART: Final = "settle"
_LONGEST_DESCRIPTION: Final = 300
_FAILURES: Final = frozenset({Outcome.UNAVAILABLE, Outcome.INDETERMINATE})
_FINE: Final = Status(StatusCode.UNSET)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)


class Spans:
    """`to_be_sampled`: name and attributes that a sampler may look at, before anything else is known."""

    def __init__(self, spec: TraceSpec, resource: Resource, *, scope: str) -> None:
        self._spec = spec
        self._resource = resource
        self._scope = InstrumentationScope(scope, version(scope), schema_url=said.SCHEMA_URL)
        self._requests = said.of_requests(spec)
        self._flows = {name: said.of_flow(flow) for name, flow in spec.flows.items()}
        name = f"process {spec.requests_from}"
        self.to_be_sampled = (name, {**self._requests, **said.operation("process", "process")})

    def of(self, observed: Observed, context: TraceContext, epoch_ns: int) -> Iterator[ReadableSpan]:
        """`epoch_ns`: where the loop's clock began, since the epoch."""
        trace = _Trace(context, epoch_ns, self._resource, self._scope)
        times = observed.times
        request = {**self._requests, **said.of_request(observed)}
        delivery = {**request, **said.of_delivery(observed, trace.at_ns(times.enqueued_at) // 1_000_000_000)}
        yield self._process(observed, trace, delivery)
        if times.asked_at is not None:
            yield self._receive(observed, trace, delivery, times.asked_at)
        for resends, attempt in enumerate(observed.tries):
            yield self._attempt(observed, trace, attempt, resends)
        if times.reply_began_at is not None and observed.reply_to is not None:
            yield self._reply(observed, trace, times.reply_began_at, observed.reply_to)
        name = said.SETTLEMENTS.get(observed.settlement)
        if times.settling_at is not None and name is not None:
            yield self._settle(observed, trace, request, times.settling_at, name)

    def _process(self, observed: Observed, trace: "_Trace", delivery: Attributes) -> ReadableSpan:
        error, why = _failure(observed)
        return trace.span(
            f"process {self._spec.requests_from}",
            SpanKind.CONSUMER,
            trace.whole,
            below=trace.sent,
            times=(observed.times.started_at, observed.times.ended_at),
            attributes={**delivery, **said.operation("process", "process"), **said.of_work(observed), **error},
            status=_FINE if why is None else _failed(why),
            links=trace.links,
        )

    def _receive(self, observed: Observed, trace: "_Trace", delivery: Attributes, asked_at: float) -> ReadableSpan:
        """Beside the work, where both have a parent. It begins when there was something to be received."""
        ended_at = observed.times.started_at
        return trace.span(
            f"receive {self._spec.requests_from}",
            SpanKind.CLIENT,
            trace.part(_RECEIVE_PART),
            below=trace.whole if trace.sent is None else trace.sent,
            times=(min(max(asked_at, observed.times.enqueued_at), ended_at), ended_at),
            attributes={**delivery, **said.operation("receive", "receive")},
            links=trace.links,
        )

    def _attempt(self, observed: Observed, trace: "_Trace", attempt: Attempt, resends: int) -> ReadableSpan:
        flow = self._flows.get(observed.flow or "", {})
        attributes = {**flow, **said.of_attempt(attempt, resends)}
        is_error = ERROR_TYPE in attributes
        return trace.span(
            str(attributes.get("http.request.method", "HTTP")),
            SpanKind.CLIENT,
            trace.part(attempt_part(attempt.number, attempt.began_at)),
            below=trace.whole,
            times=(attempt.began_at, _next_known(observed) if attempt.ended_at is None else attempt.ended_at),
            attributes=attributes,
            status=_failed(attempt.why) if is_error else _FINE,
        )

    def _reply(self, observed: Observed, trace: "_Trace", began_at: float, queue: str) -> ReadableSpan:
        times = observed.times
        is_out = times.replied_at is not None
        return trace.span(
            f"send {queue}",
            SpanKind.PRODUCER,
            trace.part(REPLY_PART),
            below=trace.whole,
            times=(began_at, times.replied_at or times.settling_at or times.ended_at),
            attributes={
                **said.of_bus(self._spec, queue),
                **said.operation("send", "send"),
                "messaging.message.conversation_id": observed.request_id,
                **({} if is_out else {ERROR_TYPE: "undelivered"}),
            },
            status=_FINE if is_out else _failed(None),
        )

    def _settle(
        self, observed: Observed, trace: "_Trace", request: Attributes, began_at: float, name: str
    ) -> ReadableSpan:
        is_done = observed.settled is Settled.DONE
        error = {} if is_done else {ERROR_TYPE: observed.settled.value}
        return trace.span(
            f"{name} {self._spec.requests_from}",
            SpanKind.CLIENT,
            trace.part(_SETTLE_PART),
            below=trace.whole,
            times=(began_at, observed.times.ended_at),
            attributes={**request, **said.of_settlement(name), **error},
            status=_FINE if is_done else _failed(None),
        )


class _Trace:
    """`whole`: the work; `sent`: the request, as a span of its sender's, which `links` lead to."""

    def __init__(self, context: TraceContext, epoch_ns: int, resource: Resource, scope: InstrumentationScope) -> None:
        self._context = context
        self._epoch_ns = epoch_ns
        self._resource = resource
        self._scope = scope
        self._trace_id = int(context.trace_id, 16)
        self._state = state_of(context.state)
        self.whole = self._own(context.span_id)
        self.sent = None if context.parent is None else remote(context.parent, self._state)
        self.links: Sequence[Link] = () if self.sent is None else (Link(self.sent),)

    def part(self, name: str) -> SpanContext:
        return self._own(self._context.part(name))

    def at_ns(self, at: float) -> int:
        """Since the epoch."""
        return self._epoch_ns + round(at * 1e9)

    def span(
        self,
        name: str,
        kind: SpanKind,
        own: SpanContext,
        *,
        below: SpanContext | None,
        times: tuple[float, float],
        attributes: Attributes,
        status: Status = _FINE,
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        began_at, ended_at = times
        return ReadableSpan(
            name=name,
            context=own,
            parent=below,
            resource=self._resource,
            attributes=attributes,
            links=links,
            kind=kind,
            status=status,
            start_time=self.at_ns(began_at),
            end_time=self.at_ns(ended_at),
            instrumentation_scope=self._scope,
        )

    def _own(self, span_id: str) -> SpanContext:
        return SpanContext(
            self._trace_id, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED, trace_state=self._state
        )


def remote(parent: Parent, state: TraceState | None) -> SpanContext:
    flags = _SAMPLED if parent.is_sampled else _UNSAMPLED
    trace_id, span_id = int(parent.trace_id, 16), int(parent.span_id, 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def state_of(header: str | None) -> TraceState | None:
    return None if header is None else TraceState.from_header([header])


def _failure(observed: Observed) -> tuple[Attributes, str | None]:
    """What a copy goes on with has not failed."""
    if observed.defect is not None:
        return {ERROR_TYPE: observed.defect.partition(":")[0]}, observed.defect
    if observed.outcome in _FAILURES and not observed.is_copied:
        return {ERROR_TYPE: observed.outcome.value}, observed.detail or ""
    return {}, None


def _failed(why: str | None) -> Status:
    return Status(StatusCode.ERROR, None if not why else fit_to_show(why, _LONGEST_DESCRIPTION))


def _next_known(observed: Observed) -> float:
    """When an attempt that was cut had surely ended."""
    times = observed.times
    return times.reply_began_at or times.settling_at or times.ended_at
