"""One HTTP request and what came back. The door where aiohttp's errors become values."""

import io
import math
import re
import weakref
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from worker.core.response import Flaw, NoAnswer, Response
from worker.core.retry import parse_retry_after
from worker.flow.unpacking import UNKNOWN_COMPRESSIONS, WINDOW_BITS, Unpacking
from worker.timers import TimeLimits

CONNECT_TIMEOUT_S: Final = 10.0
# Shorter than any idle time-out in front of a trigger: a connection that the other side drops while we write to it
# leaves a call in doubt.
KEEP_ALIVE_S: Final = 30.0
DNS_CACHE_S: Final = 60
# A longer body is written piece by piece, so that it doesn't hold up the loop.
LARGE_BODY_BYTES: Final = 1_048_576

# aiohttp sends no POST a second time; what keeps it from that with other methods costs 3 µs a call.
NEVER_REPEATED: Final = "POST"

_COUNT: Final = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True)
class Departure:
    """Whether a byte of the request may have left this process."""

    was_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None = None


class _Lost(Exception):
    """Wraps a connection's end: unwrapped, aiohttp would send a GET, PUT or DELETE a second time by itself."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        super().__init__()
        self.error = error


# Of the exchange that this task makes. Told by the connector, because a TraceConfig costs 25 µs a call.
_departure: Final[ContextVar[Departure]] = ContextVar("departure")


class _Connector(aiohttp.TCPConnector):
    """Drops a kept connection on which something came unasked: it would be taken for the next call's answer.

    Notes the departure: nothing has left before there is an open connection, and it is written to at once.
    """

    def __init__(self) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=DNS_CACHE_S)
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close or protocol not in self._used:
                break
            connection.close()
        if protocol is not None:
            self._used.add(protocol)
        _departure.get().was_sent = True
        return connection


class Session:
    """What exchanges share. Must be made with a running loop.

    The pool has no bound of its own: the worker's slots bound it, and one flow must not use up another's connections.
    """

    def __init__(self) -> None:
        self.http = aiohttp.ClientSession(
            connector=_Connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The end of an attempt is absolute and set around it; aiohttp's own total is rounded up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, ceil_threshold=math.inf),
            headers={"User-Agent": "flowbridge", "Accept-Encoding": "gzip, deflate"},
            auto_decompress=False,
        )
        self.limits = TimeLimits()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.http.close()


async def exchange(
    session: Session, request: HttpRequest, departure: Departure, *, until: float, most_bytes: int
) -> Response | NoAnswer:
    """Ends by `until` on the loop's clock. Never follows a redirect, never sends twice, never holds a longer body."""
    head: aiohttp.ClientResponse | None = None
    body: bytes | Flaw = Flaw.CUT_OFF
    why = ""
    _departure.set(departure)
    try:
        with session.limits.until(until):
            head = await session.http.request(
                request.method,
                request.url,
                headers=request.headers,
                data=_outgoing(request.body),
                allow_redirects=False,
                middlewares=() if request.method == NEVER_REPEATED else (_once,),
            )
            try:
                body = await _read(head, most_bytes)
            finally:
                if not head.closed:  # aiohttp's `async with` does this each time, for 4 µs
                    head.release()
                    await head.wait_for_close()
    except TimeoutError as error:
        body = Flaw.TIMED_OUT
        why = _why_late(error, request.url, departure)
    except _Lost as lost:
        why = _why_late(lost.error, request.url, departure) if _is_late(lost.error) else _why(lost.error, request.url)
    except (aiohttp.ClientError, OSError) as error:
        why = _why(error, request.url)
    if head is None:
        return NoAnswer(was_sent=departure.was_sent, why=why)
    headers = head.headers
    content_type = headers.get("Content-Type", "")
    run_id = headers.get("x-ms-workflow-run-id", "")
    return Response(
        status=head.status,
        body=body,
        # Both go on into AMQP, where a byte that is no character, or no ASCII, can't be written.
        content_type=content_type if content_type and content_type.isascii() else None,
        run_id=run_id.encode("ascii", "replace").decode() or None,
        location=headers.get("Location", "").strip() or None,
        retry_after_s=_retry_after_s(headers.get("Retry-After")),
        least_bytes=max(most_bytes + 1, head.content_length or 0),
        remaining_writes=_count(headers.get("x-ms-ratelimit-burst-remaining-workflow-writes")),
    )


def _outgoing(body: bytes | None) -> bytes | io.BytesIO | None:
    return body if body is None or len(body) <= LARGE_BODY_BYTES else io.BytesIO(body)


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes | Flaw:
    """The decoded body, read no further than `most_bytes`."""
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if not coding and most_bytes >= (response.content_length or math.inf):
        return await response.content.read()
    unpacking = Unpacking(WINDOW_BITS[coding]) if coding in WINDOW_BITS else None
    chunks: list[bytes] = []
    size_bytes = 0
    async for received in response.content.iter_any():
        if coding in UNKNOWN_COMPRESSIONS:
            return Flaw.GARBLED
        try:
            chunk = received if unpacking is None else unpacking.unpack(received, most_bytes - size_bytes + 1)
        except zlib.error:
            return Flaw.GARBLED
        size_bytes += len(chunk)
        if size_bytes > most_bytes:
            return Flaw.TOO_LARGE
        chunks.append(chunk)
    if unpacking is not None and not unpacking.is_whole:
        return Flaw.GARBLED
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _retry_after_s(header: str | None) -> float | None:
    return None if header is None else parse_retry_after(header, utc_now=datetime.now(UTC))


def _count(header: str | None) -> int | None:
    return int(header) if header is not None and _COUNT.fullmatch(header) else None


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientError as error:
        raise _Lost(error) from error


def _is_late(error: Exception) -> bool:
    return isinstance(error, TimeoutError)


def _why_late(error: Exception, url: URL, departure: Departure) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"Connecting to {_place(url)} took longer than {CONNECT_TIMEOUT_S:g} s."
    waited_for = "an answer came" if departure.was_sent else "the call could be sent"
    return f"The time was up before {waited_for} ({_place(url)})."


def _why(error: Exception, url: URL) -> str:
    """Said without the error's own text, which may quote the URL with its signature."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"The name {url.host} could not be resolved."
        case aiohttp.ClientConnectorCertificateError():
            return f"The certificate of {_place(url)} is not trusted."
        case aiohttp.ClientConnectorSSLError():
            return f"The TLS handshake with {_place(url)} failed."
        case aiohttp.ClientConnectorError():
            return f"{_place(url)} could not be reached: {error.os_error.strerror or type(error.os_error).__name__}."
        case aiohttp.ServerDisconnectedError():
            return f"{_place(url)} closed the connection before it answered."
        case aiohttp.ClientResponseError():
            return f"{_place(url)} answered with something that is not HTTP, or with too large headers."
        case _:
            return f"The connection to {_place(url)} was lost ({type(error).__name__})."


def _place(url: URL) -> str:
    return f"{url.host}:{url.port}"
