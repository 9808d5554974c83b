"""The headers of a call."""

import string
from typing import Final
from urllib.parse import quote

from worker.core.request import Call

PRINTABLE_ASCII: Final = string.ascii_letters + string.digits + string.punctuation + " "
TRACE_HEADERS: Final = ("traceparent", "tracestate")
UNKNOWN_CONTENT: Final = "application/octet-stream"


def call_headers(call: Call) -> dict[str, str]:
    """Values come from queues, so none may reach the wire with a character that ends a header."""
    headers = {
        "x-ms-client-tracking-id": _quoted(call.request_id),
        "Idempotency-Key": _quoted(call.idempotency_key),
    }
    if call.content_type is not None:
        headers["Content-Type"] = call.content_type if _fits(call.content_type) else UNKNOWN_CONTENT
    headers.update((name, call.trace[name]) for name in TRACE_HEADERS if name in call.trace and _fits(call.trace[name]))
    return headers


def _quoted(value: str) -> str:
    return value if _fits(value) else quote(value, safe=PRINTABLE_ASCII)


def _fits(value: str) -> bool:
    return value.isascii() and value.isprintable()
