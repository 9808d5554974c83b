"""The way out for spans: the SDK's queue, thread and exporter, and what the log hears of them."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from worker.core.redaction import redact
from worker.tracing.losses import Losses
from worker.tracing.opening import ENDPOINTS

LONGEST_FLUSH_S: Final = 2.0
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_QUEUE_SIZE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
_USUAL_QUEUE_SIZE: Final = 2048
_LONGEST_FAILURE: Final = 300

_log = structlog.stdlib.get_logger(__name__)


class Export:
    """`give` never waits and never raises. A collector that can't be reached costs spans, and two lines in the log."""

    def __init__(self) -> None:
        """Raises what the SDK raises for variables that it can't read."""
        self._most = _queue_size(os.environ)
        self._exporter = _Told(OTLPSpanExporter())
        self._queue = BatchSpanProcessor(self._exporter, max_queue_size=self._most)
        self._given = 0

    def give(self, span: ReadableSpan) -> None:
        self._given += 1
        if self._given - self._exporter.taken > self._most:  # the queue makes room: its oldest span goes
            self._exporter.lose(1, f"spans are made faster than sent; {_QUEUE_SIZE} is {self._most}")
            self._given -= 1
        self._queue.on_end(span)

    async def close(self) -> None:
        """Sends what is left."""
        closing = threading.Thread(target=self._finish, name="last-traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, LONGEST_FLUSH_S)
        if closing.is_alive():
            self._exporter.shutdown()  # no more tries: the thread ends with the one that is under way

    def _finish(self) -> None:
        self._queue.shutdown()  # type: ignore[no-untyped-call]
        self._exporter.forget_sdk()


class _Told(SpanExporter):
    """An exporter whose failures are told when they begin and when they end, instead of each."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._losses = Losses()
        self._one_at_a_time = threading.Lock()  # the queue's thread and the loop's
        self._sdk = _SdkLog(_secrets_of(os.environ))
        self.taken = 0  # spans, out of the queue

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self._sdk.forget()
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lose(len(spans), self._sdk.said)
            return result
        with self._one_at_a_time:
            lost = self._losses.deliver(time.monotonic())
        if lost is not None:
            _log.info("traces_exported_again", spans_lost=lost)
        return result

    def lose(self, spans: int, why: str) -> None:
        with self._one_at_a_time:
            is_news = self._losses.lose(spans, time.monotonic())
        if is_news:
            _log.warning("traces_not_exported", failure=why)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def forget_sdk(self) -> None:
        self._sdk.close()


class _SdkLog(logging.Handler):
    """Takes what the SDK logs, several lines for each batch in vain."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._secrets = secrets
        self._logger = logging.getLogger("opentelemetry")
        self._logger.addHandler(self)
        self._logger.propagate = False
        self._first = ""

    @property
    def said(self) -> str:
        """The first since `forget`, which has the cause."""
        return self._first or "the SDK gave no reason"

    def forget(self) -> None:
        self._first = ""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._first:
            text = record.getMessage()
            for secret in self._secrets:
                text = text.replace(secret, "***")
            self._first = redact(text)[:_LONGEST_FAILURE]

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True
        super().close()


def _secrets_of(environ: Mapping[str, str]) -> list[str]:
    """What the SDK might quote: the values of headers, and of an endpoint all that may be a key."""
    urls = [urlsplit(environ.get(name, "")) for name in ENDPOINTS]
    pairs = [pair.partition("=")[2].strip() for name in _HEADERS for pair in environ.get(name, "").split(",")]
    found = {*(url.query for url in urls), *(url.password or "" for url in urls), *pairs, *map(unquote, pairs)} - {""}
    return sorted(found | {repr(secret)[1:-1] for secret in found}, key=len, reverse=True)


def _queue_size(environ: Mapping[str, str]) -> int:
    """As the SDK reads it, which tells nobody."""
    text = environ.get(_QUEUE_SIZE, "").strip()
    return int(text) if text.isdecimal() else _USUAL_QUEUE_SIZE
