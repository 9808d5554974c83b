"""Whether this process is traced: by the environment variables that OpenTelemetry's SDKs have in common."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from worker.core.redaction import redact
from worker.tracing.spec import TraceSpec

if TYPE_CHECKING:
    from worker.tracing.tracer import Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"

_log = structlog.stdlib.get_logger(__name__)


@asynccontextmanager
async def opened(spec: TraceSpec) -> AsyncIterator["Tracer | None"]:
    """None where nothing is to be traced, or can't be. At the end what was recorded is sent, if that takes no longer
    than 2 s.
    """
    tracer = _tracer(spec) if is_wanted(os.environ) else None
    try:
        yield tracer
    finally:
        if tracer is not None:
            await tracer.close()


def is_wanted(environ: Mapping[str, str]) -> bool:
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    has_exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    return has_exporter and not is_disabled and bool(_first(environ, ENDPOINTS))


def _tracer(spec: TraceSpec) -> "Tracer | None":
    """Requests are answered with traces or without, so nothing that is wrong with these stops a worker."""
    try:
        from worker.tracing.tracer import Tracer  # noqa: PLC0415 - only where it is wanted, and may be missing

        tracer = Tracer.of_environment(spec)
    except ImportError as missing:
        failure = f"{missing}; install flowbridge[otel], or unset {' and '.join(ENDPOINTS)}"
        _log.warning("tracing_unavailable", failure=failure)
        return None
    except Exception as failure:  # noqa: BLE001 - the SDK's own check of its variables, whatever that raises
        _log.warning("tracing_unavailable", failure=redact(f"OpenTelemetry refuses its variables: {failure}"))
        return None
    protocol = _first(os.environ, _PROTOCOLS)
    if protocol not in ("", _SPOKEN):
        _log.warning(
            "tracing_over_http",
            failure=f"OTLP is spoken as {_SPOKEN} alone, so that is used instead of {protocol!r:.40}; a collector "
            "listens for it on a port of its own, usually 4318",
        )
    _log.info("tracing_started")
    return tracer


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """OpenTelemetry takes an empty variable for none."""
    return next((value for name in names if (value := environ.get(name, "").strip())), "")
