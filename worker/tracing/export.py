"""The way out for spans: the SDK's queue, thread and exporter, and what the log hears of them."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from worker.tracing.losses import Losses
from worker.tracing.sdk_log import SdkLog
from worker.tracing.variables import QUEUE_SIZE, queue_size

LONGEST_FLUSH_S: Final = 2.0

_log = structlog.stdlib.get_logger(__name__)


class Export:
    """`give` never waits and never raises. A collector that can't be reached costs spans, and two lines in the log."""

    def __init__(self, sdk: SdkLog) -> None:
        """Closes `sdk` in the end. Raises what the SDK raises for variables that it can't read."""
        self._most = queue_size(os.environ)
        self._exporter = _Told(OTLPSpanExporter(), sdk)
        self._queue = BatchSpanProcessor(self._exporter, max_queue_size=self._most)
        self._given = 0

    def give(self, span: ReadableSpan) -> None:
        self._given += 1
        if self._given - self._exporter.taken > self._most:  # the queue makes room: its oldest span goes
            self._exporter.lose(1, f"spans are made faster than sent; {QUEUE_SIZE} is {self._most}")
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

    def __init__(self, exporter: SpanExporter, sdk: SdkLog) -> None:
        self._exporter = exporter
        self._losses = Losses()
        self._one_at_a_time = threading.Lock()  # the queue's thread and the loop's
        self._sdk = sdk
        self.taken = 0  # spans, out of the queue

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self._sdk.forget()
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lose(len(spans), next(iter(self._sdk.said), "the SDK gave no reason"))  # the first has the cause
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
