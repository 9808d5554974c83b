"""A delivery that was understood, and the call made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from worker.core.dataverse.event import Event
from worker.core.delivery import PropertyValue
from worker.core.flow_spec import FlowSpec, RetrySpec
from worker.core.outcome import Running
from worker.core.query import Query
from worker.core.trace import TraceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnAddress:
    """Where the answer goes: a reply queue of the allow-list and a session of at most 128 characters."""

    queue: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWay:
    """The sender asked for no answer."""


Destination: TypeAlias = ReturnAddress | OneWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """What a copy is for that a worker made: the answer of a run which the flow of that name has already begun."""

    flow_name: str
    running: Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A decoded request. `timeout_s` is the property `timeout-s`; `event` is None for a body that isn't Dataverse's."""

    request_id: str
    idempotency_key: str
    correlation_id: str | None
    body: bytes
    content_type: str | None
    subject: str | None
    properties: Mapping[str, PropertyValue] = field(repr=False)
    event: Event | None
    is_truncated: bool
    flow_name: str | None
    timeout_s: float | None
    reply_ttl_s: float | None
    trace: Mapping[str, str]  # traceparent and tracestate, where printable ASCII
    delivery_attempt: int  # earlier scheduled redeliveries
    is_flow_fixed: bool = False  # its sender may ask for that flow alone, whatever the routes say
    fetch: Fetch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to one flow. `deadline` is on the loop's clock; None: bounded by its attempts alone.

    `body` and `content_type` are None where the flow's method sends none.
    """

    flow: FlowSpec
    retry: RetrySpec
    request_id: str
    idempotency_key: str
    body: bytes | None
    content_type: str | None
    trace: Mapping[str, str]
    deadline: float | None
    context: TraceContext | None = None  # of the work on it, where that is traced
    query: Query = field(default=(), repr=False)
