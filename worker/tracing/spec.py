"""What is the same for all spans of a worker."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.flow_spec import FlowSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """`requests_from` is a queue, or a topic where there is a `subscription`. `bus_port`: where it isn't AMQP's own."""

    bus_host: str
    bus_port: int | None
    requests_from: str
    subscription: str | None
    flows: Mapping[str, FlowSpec]
