"""Requests on their way to the queue, under ids that their answers are found by."""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from worker.core.decode import FLOW_FIXED
from worker.core.delivery import PropertyValue
from worker.core.door.asker import Asker
from worker.core.door.ids import NONCE_BYTES, RequestId, key_id
from worker.core.door.memory import Entry, MemorySpec
from worker.door.shelf import Shelf
from worker.requester.listener import Listener
from worker.servicebus.connect import Bus
from worker.servicebus.outbox import Outbox
from worker.servicebus.outgoing import Outgoing
from worker.servicebus.reply_session import ReplySession

GRACE_S: Final = 60.0  # a worker that gets a request too late can still say so
SENT_WITHIN_S: Final = 10.0
FORGETS_EVERY_S: Final = 5.0
WRITERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskSpec:
    """`reply_ttl_s`: how long an answer is kept for a door that starts again. `has_sessions`: the request queue.

    `secret`: all replicas'.
    """

    replica: str
    secret: bytes = field(repr=False)
    request_queue: str
    has_sessions: bool
    reply_queue: str
    reply_ttl_s: float
    memory: MemorySpec

    @property
    def session_id(self) -> str:
        return session_of(self.replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`key_id`: of an idempotency key. `trace`: as its sender said."""

    flow: str
    body: bytes
    content_type: str | None
    idempotency_key: str | None
    key_id: str | None
    trace: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """`is_in_doubt`: the queue may have it all the same."""

    why: str
    is_in_doubt: bool


def session_of(replica: str) -> str:
    """The same after a restart, so that what came meanwhile is found."""
    return f"flowbridge-door-{replica}"


class Desk:
    """Inside its `async with`; the bus belongs to the caller."""

    def __init__(self, bus: Bus, spec: DeskSpec) -> None:
        self._spec = spec
        session = ReplySession(bus, spec.reply_queue, spec.session_id)
        self.shelf = Shelf(session, spec.memory)
        self.listener = Listener(session, self.shelf)
        self._outbox = Outbox(bus, spec.request_queue, writers=WRITERS)
        self._running = AsyncExitStack()
        self._tasks = asyncio.TaskGroup()
        self._sending: dict[str, asyncio.Task[Entry | NotSent]] = {}  # by request id

    async def __aenter__(self) -> Self:
        await self._running.enter_async_context(self.listener)
        await self._running.enter_async_context(self._outbox)
        await self._running.enter_async_context(self._tasks)
        forgetting = self._tasks.create_task(self._forget())
        self._running.callback(forgetting.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outbox.stop()
        self.listener.stop()
        await self._running.__aexit__(None, None, None)

    def issue(self, asker: Asker) -> RequestId:
        spec = self._spec
        now, draw = int(time.time()), os.urandom(NONCE_BYTES)
        return RequestId.issue(asker, secret=spec.secret, replica=spec.replica, issued=now, draw=draw)

    def is_of(self, request_id: RequestId, asker: Asker) -> bool:
        return request_id.is_of(asker, secret=self._spec.secret)

    def key_id(self, asker: Asker, *, flow: str, idempotency_key: str) -> str:
        return key_id(asker, secret=self._spec.secret, flow=flow, idempotency_key=idempotency_key)

    async def repeated(self, key_id: str) -> Entry | NotSent | None:
        """The sending under the same key that answers for this one, too, or what it failed of; None: there is none."""
        entry = self.shelf.memory.repeated(key_id)
        sending = None if entry is None else self._sending.get(entry.request_id)
        return entry if sending is None else await asyncio.shield(sending)

    async def send(self, request_id: RequestId, question: Question) -> Entry | NotSent:
        """The entry that its answer comes to. What is in doubt is still expected.

        Goes on without its caller: another, with the same key, may have joined.
        """
        entry = self.shelf.memory.ask(str(request_id), key_id=question.key_id, now=time.time())
        sending = self._tasks.create_task(self._deliver(entry, question))
        self._sending[entry.request_id] = sending
        return await asyncio.shield(sending)

    async def _deliver(self, entry: Entry, question: Question) -> Entry | NotSent:
        memory = self.shelf.memory
        try:
            until = asyncio.get_running_loop().time() + min(SENT_WITHIN_S, self._spec.memory.timeout_s)
            undelivered = await self._outbox.send(self._outgoing(entry, question), until=until)
        finally:
            del self._sending[entry.request_id]
        if undelivered is None:
            return entry
        if not undelivered.is_late:
            memory.withdraw(entry.request_id)
        return NotSent(why=undelivered.detail, is_in_doubt=undelivered.is_late)

    def _outgoing(self, entry: Entry, question: Question) -> Outgoing:
        spec = self._spec
        timeout_s = spec.memory.timeout_s
        properties: dict[str, PropertyValue] = {
            **question.trace,
            "flow": question.flow,
            FLOW_FIXED: True,  # or a body could choose its route to a flow that its sender may not call
            "timeout-s": timeout_s,
            "reply-ttl-s": spec.reply_ttl_s,
        }
        if question.idempotency_key is not None:
            properties["idempotency-key"] = question.idempotency_key
        return Outgoing(
            body=question.body,
            message_id=entry.request_id,
            properties=properties,
            content_type=question.content_type,
            correlation_id=question.key_id,
            session_id=entry.request_id if spec.has_sessions else None,
            reply_to=spec.reply_queue,
            reply_to_session_id=spec.session_id,
            time_to_live_s=timeout_s + GRACE_S,
        )

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGETS_EVERY_S)
            self.shelf.forget()
