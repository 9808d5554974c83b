"""The span that is current in the program around a caller, as what its request carries of it."""

import sys
from typing import Final

_API: Final = "opentelemetry.trace"


def current_trace() -> dict[str, str]:
    """`traceparent`, and `tracestate` where there is one; nothing where no span is current.

    A program that has a span has imported OpenTelemetry, so for others that need not be done.
    """
    if _API not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier
