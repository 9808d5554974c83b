"""Whether this process is traced: by the environment variables that OpenTelemetry's SDKs have in common."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from worker.tracing.sdk_log import SdkLog
from worker.tracing.spec import TraceSpec
from worker.tracing.variables import ENDPOINTS, PROTOCOLS, endpoint_fault, first, is_wanted

if TYPE_CHECKING:
    from worker.tracing.tracer import Tracer

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


def _tracer(spec: TraceSpec) -> "Tracer | None":
    """Requests are answered with traces or without, so nothing that is wrong with these stops a worker."""
    fault = endpoint_fault(os.environ)
    if fault is not None:
        _log.warning("tracing_unavailable", failure=fault)
        return None
    sdk = SdkLog(os.environ)
    try:
        from worker.tracing.tracer import Tracer  # noqa: PLC0415 - only where it is wanted, and may be missing

        tracer = Tracer.of_environment(spec, sdk)
    except ImportError as missing:
        failure = f"{missing}; install flowbridge[otel], or unset {' and '.join(ENDPOINTS)}"
        _log.warning("tracing_unavailable", failure=failure)
        sdk.close()
        return None
    except Exception as refusal:  # noqa: BLE001 - the SDK's own check of its variables, whatever that raises
        failure = sdk.without_secrets(f"OpenTelemetry refuses its variables: {refusal}")
        _log.warning("tracing_unavailable", failure=failure)
        sdk.close()
        return None
    _tell(sdk)
    return tracer


def _tell(sdk: SdkLog) -> None:
    """What is traced otherwise than the variables say."""
    if sdk.said:
        _log.warning("tracing_misconfigured", failure="; ".join(text.rstrip(".") for text in sdk.said))
    protocol = first(os.environ, PROTOCOLS)
    if protocol not in ("", _SPOKEN):
        _log.warning(
            "tracing_over_http",
            failure=f"OTLP is spoken as {_SPOKEN} alone, so that is used instead of {protocol!r:.40}; a collector "
            "listens for it on a port of its own, usually 4318",
        )
    _log.info("tracing_started")
