"""`Requester`: ask a flow through the bridge and await its answer."""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Final, Literal, Self

import orjson
from azure.core.credentials_async import AsyncTokenCredential

from worker.core.delivery import PropertyValue
from worker.core.trace import TRACE_PARENT
from worker.core.typed_reply import TypedReply
from worker.requester.correlation import BusRefused, Correlation, NoReply, RequesterStatistics
from worker.requester.listener import Listener
from worker.servicebus.connect import Bus, BusOptions
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import LONGEST_ID, Outgoing
from worker.servicebus.reply_session import ReplySession
from worker.tracing.current import current_trace

# A request outlives its time-out by this much, so that a worker that gets it too late can still say so.
GRACE_S: Final = 60.0


class Requester:
    """An async context manager; inside it, any number of tasks may await `request` at once.

    Entering connects nothing by itself: the links are opened in the background, and made anew whenever they are lost.
    A link that breaks in the middle of a send makes the same message go out again, under the same message id: duplicate
    detection on the request queue drops it.
    """

    def __init__(
        self,
        *,
        connection_string: str | None = None,
        namespace: str | None = None,
        credential: AsyncTokenCredential | None = None,
        transport: Literal["amqp", "websockets"] = "amqp",
        request_queue: str = "flow-requests",
        reply_queue: str = "flow-replies",
        session_id: str | None = None,
        default_timeout_s: float = 110.0,
    ) -> None:
        """Either `connection_string` (with the rights to send and to listen), or `namespace` and `credential`.

        `session_id` names this requester's session on the reply queue and must be nobody else's; by default it is made
        up, so that it can't be guessed. Raises `Misconfigured` for a connection string that can't be used, and
        `ValueError` for names that can't be.
        """
        self._bus = Bus(
            BusOptions(
                connection_string=connection_string, namespace=namespace, credential=credential, transport=transport
            )
        )
        if not request_queue or not reply_queue:
            raise ValueError("request_queue and reply_queue must be names of queues, not empty.")
        if session_id is not None and len(session_id) > LONGEST_ID:
            raise ValueError(f"session_id may have {LONGEST_ID} characters, not {len(session_id)}.")
        self._request_queue = request_queue
        self._reply_queue = reply_queue
        self._session_id = session_id or str(uuid.uuid4())
        self._default_timeout_s = default_timeout_s
        self._correlation = Correlation()
        self._listener = Listener(ReplySession(self._bus, reply_queue, self._session_id), self._correlation)
        self._running = AsyncExitStack()
        self._outbox: Outbox | None = None

    async def __aenter__(self) -> Self:
        await self._running.enter_async_context(self._bus)
        await self._running.enter_async_context(self._listener)
        self._outbox = await self._running.enter_async_context(Outbox(self._bus, self._request_queue, writers=1))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whoever still waits is told so."""
        if self._outbox is not None:
            self._outbox.stop()
            self._outbox = None
        self._listener.stop()
        self._correlation.fail_all(_closed)
        await self._running.__aexit__(kind, error, trace)

    @property
    def statistics(self) -> RequesterStatistics:
        return self._correlation.statistics(reconnects=self._listener.reconnects)

    async def request(
        self,
        body: bytes | str | Mapping[str, object],
        *,
        content_type: str | None = None,
        flow: str | None = None,
        properties: Mapping[str, PropertyValue] | None = None,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        correlation_id: str | None = None,
        message_id: str | None = None,
        subject: str | None = None,
        session_id: str | None = None,
    ) -> TypedReply:
        """Send one request and await its answer.

        `body`: a mapping is sent as JSON. `flow`: the flow's name, where no route decides. `timeout_s`: how long to
        wait, and how long the bridge may try. `idempotency_key`: repeat it when asking again, under a new `message_id`.
        `correlation_id`: the caller's own conversation id. `session_id`: of the request, not of its answer; a request
        queue with sessions needs one, and what has the same is worked on one after the other. In a program that traces
        with OpenTelemetry the span that is current here becomes the parent of the work on the request, unless
        `properties` has a `traceparent`.

        Raises `NoReply` when `timeout_s` passes, `BusRefused` at once where waiting can't help, and `ValueError` for
        arguments that can't be sent.
        """
        if self._outbox is None:
            raise RuntimeError("The requester is not running: use it inside `async with`.")
        timeout_s = self._default_timeout_s if timeout_s is None else timeout_s
        request_id = str(uuid.uuid4()) if message_id is None else message_id
        _check(request_id, session_id, timeout_s, content_type, properties or {})
        if self._listener.refusal is not None:
            raise BusRefused(self._listener.refusal, request_id=request_id)
        if isinstance(body, Mapping):
            content_type = content_type or "application/json"
        outgoing = Outgoing(
            body=_encode(body),
            message_id=request_id,
            properties={**_traced(properties or {}), **_own_properties(timeout_s, flow, idempotency_key)},
            content_type=content_type,
            correlation_id=correlation_id,
            subject=subject,
            session_id=session_id,
            reply_to=self._reply_queue,
            reply_to_session_id=self._session_id,
            time_to_live_s=timeout_s + GRACE_S,
        )
        return await self._ask(self._outbox, outgoing, timeout_s)

    async def _ask(self, outbox: Outbox, outgoing: Outgoing, timeout_s: float) -> TypedReply:
        request_id = outgoing.message_id
        deadline = asyncio.get_running_loop().time() + timeout_s
        answer = self._correlation.expect(request_id)
        try:
            undelivered = await outbox.send(outgoing, until=deadline)
            if undelivered is not None and self._outbox is not None and not undelivered.is_late:
                raise BusRefused(undelivered.detail, request_id=request_id)
            if undelivered is not None:
                raise NoReply(f"The request was not sent: {undelivered.detail}", request_id=request_id, sent=False)
            async with asyncio.timeout_at(deadline):
                return await answer
        except TimeoutError:
            detail = f"No reply to request '{request_id}' within {timeout_s:g} s."
            raise NoReply(detail, request_id=request_id, sent=True) from None
        finally:
            self._correlation.end(request_id)


def _closed(request_id: str) -> NoReply:
    return NoReply("The requester was closed before a reply came.", request_id=request_id, sent=True)


def _check(
    request_id: str,
    session_id: str | None,
    timeout_s: float,
    content_type: str | None,
    properties: Mapping[str, PropertyValue],
) -> None:
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"content_type must be printable ASCII, not {content_type!r}.")
    for name, value in properties.items():
        if value is not None and not isinstance(value, str | bytes | int | float | bool | datetime | uuid.UUID):
            raise ValueError(f"The property {name!r} can't be sent: {type(value).__name__} is no type of a property.")
    if not 0 < len(request_id) <= LONGEST_ID:
        raise ValueError(f"message_id must have 1 to {LONGEST_ID} characters, not {len(request_id)}.")
    if session_id is not None and not 0 < len(session_id) <= LONGEST_ID:
        raise ValueError(f"session_id must have 1 to {LONGEST_ID} characters, not {len(session_id)}.")
    if not 0 < timeout_s < float("inf"):
        raise ValueError(f"timeout_s must be a positive number of seconds, not {timeout_s!r}.")


def _encode(body: bytes | str | Mapping[str, object]) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


def _traced(properties: Mapping[str, PropertyValue]) -> Mapping[str, PropertyValue]:
    """With the caller's span, unless they name another."""
    return properties if TRACE_PARENT in properties else {**current_trace(), **properties}


def _own_properties(timeout_s: float, flow: str | None, idempotency_key: str | None) -> dict[str, PropertyValue]:
    own: dict[str, PropertyValue] = {"timeout-s": int(timeout_s) if timeout_s == int(timeout_s) else timeout_s}
    if flow is not None:
        own["flow"] = flow
    if idempotency_key is not None:
        own["idempotency-key"] = idempotency_key
    return own
