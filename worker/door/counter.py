"""The counter: each request over HTTP, from its token to its answer."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import HttpVersion11, web

from worker.core.door.answer import Problem, Response, response_of, unanswered
from worker.core.door.asker import ANYBODY, Asker, CallerSpec
from worker.core.door.claims import Unverified
from worker.core.door.ids import RequestId
from worker.core.door.memory import Entry, Unknown
from worker.core.door.wait import asked_s, preferred_s
from worker.core.loopback import is_loopback
from worker.core.outcome import Outcome
from worker.core.recent import Failure, Recent
from worker.core.redaction import fit_to_show
from worker.core.typed_reply import TypedReply
from worker.door.desk import Desk, NotSent, Question, session_of
from worker.door.forwarding import Peers
from worker.door.limits import Limits, Refused
from worker.door.tokens import Tokens

LONGEST_KEY: Final = 128  # characters, as of a message id
LONGEST_FLOW: Final = 100
LONGEST_CONTENT_TYPE: Final = 256
LONGEST_TRACE: Final = 1_024
LATE_S: Final = 5.0  # that a worker's word "expired" may come after the time is over
BODY_WITHIN_S: Final = 20.0
_ANY_FLOW: Final = "(any flow)"
_LATER: Final = "moved"  # on the status page: asked on elsewhere
_TRACE: Final = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`told`: whose answer it is, to be kept until it has been written."""

    response: Response
    told: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterSpec:
    """`flows`: the names that there are, where they are known."""

    replica: str
    reply_queue: str
    flows: frozenset[str] | None
    timeout_s: float
    remember_s: float
    default_wait_s: float
    max_wait_s: float
    max_body_bytes: int


class Counter:
    """`tokens` None: whoever reaches the door may ask."""

    def __init__(self, spec: CounterSpec, *, desk: Desk, tokens: Tokens | None, limits: Limits, peers: Peers) -> None:
        self._spec = spec
        self._desk = desk
        self._tokens = tokens
        self._limits = limits
        self._peers = peers
        self.recent = Recent()
        self.is_closing = False

    async def ask(self, request: web.Request) -> Reply:
        """`POST /v1/flows/{flow}`."""
        asker, caller = await self._who(request)
        flow = request.match_info["flow"]
        self._check_flow(flow, caller)
        idempotency_key = _key_of(request)
        key: str | None = None
        if idempotency_key is not None:
            key = self._desk.key_id(asker, flow=flow, idempotency_key=idempotency_key)
        wait_s = self._wait_s(preferred_s(request.headers.getall("Prefer", [])))
        began = asyncio.get_running_loop().time()
        with self._limits.entered(caller):
            body = await self._body(request)
            if key is not None and (peer := self._peers.home_of(key, request)) is not None:
                return Reply(response=await self._peers.ask(peer, request, body, wait_s=wait_s))
            sent = None if key is None else await self._desk.repeated(key)
            if sent is None:
                self._check_open()
                question = Question(
                    flow=flow,
                    body=body,
                    content_type=_content_type_of(request),
                    idempotency_key=idempotency_key,
                    key_id=key,
                    trace=_trace_of(request),
                )
                sent = await self._desk.send(self._desk.issue(asker), question)
            if isinstance(sent, NotSent):
                raise Refused(_not_sent(sent), why=sent.why)
            reply = await self._answer(RequestId.of(sent.request_id), wait_s)
            if reply is None:  # it was asked all the same
                reply = Reply(response=unanswered(sent.request_id))
            self._note(flow, reply, began)
            return reply

    def _note(self, flow: str, reply: Reply, began: float) -> None:
        """For the status page. Of flows whose names aren't known here any caller could make up more and more."""
        name = flow if self._spec.flows is not None else _ANY_FLOW
        answer = None if reply.told is None else reply.told.answer
        if answer is None:
            self.recent.note(name, _LATER, took_s=None, at=time.time())
            return
        took_s = asyncio.get_running_loop().time() - began
        self.recent.note(name, answer.outcome.value, took_s=took_s, at=time.time())
        if answer.outcome is not Outcome.ANSWERED:
            self.recent.note_failure(name, _failure(answer))

    async def fetch(self, request: web.Request) -> Reply:
        """`GET /v1/requests/{id}`, and the same under its session."""
        asker, caller = await self._who(request)
        request_id = RequestId.read(request.match_info["id"])
        session = request.match_info.get("session")
        if request_id is None or not self._desk.is_of(request_id, asker):
            raise Refused(_unknown(), why="the id is none, or somebody else's")
        if session is not None and session != session_of(request_id.replica):
            raise Refused(_unknown(), why="the id belongs to another session")
        wait_s = self._wait_s(_wait_asked(request))
        with self._limits.entered(caller):
            if request_id.replica != self._spec.replica:
                return Reply(response=await self._peers.fetch(request_id.replica, request, wait_s=wait_s))
            reply = await self._answer(request_id, wait_s)
        if reply is None:
            detail = "The answer was kept for a while, and is gone."
            raise Refused(Problem(status=410, kind="forgotten", detail=detail))
        return reply

    async def open_session(self, request: web.Request) -> Reply:
        """`POST /v1/sessions`: where the answer to a message of the asker's own is to go."""
        asker, caller = await self._who(request)
        with self._limits.entered(caller):
            self._check_open()
            request_id = self._desk.issue(asker)
        session = session_of(self._spec.replica)
        place = f"/v1/sessions/{session}/replies/{request_id}"
        document = {
            "replyTo": self._spec.reply_queue,
            "replyToSessionId": session,
            "messageId": str(request_id),
            "reply": place,
            "expiresAt": int(request_id.issued + self._spec.timeout_s + self._spec.remember_s),
        }
        return Reply(response=json_response(201, document, {"Location": place}))

    async def _who(self, request: web.Request) -> tuple[Asker, CallerSpec]:
        asker: Asker | Unverified = ANYBODY
        if self._tokens is not None:
            given = request.headers.getall("Authorization", [])
            asker = await self._tokens.asker_of(given[0] if len(given) == 1 else None)
        elif not _is_no_web_page(request):
            detail = "Without tokens this door answers programs on this machine alone, and no web page."
            raise Refused(Problem(status=403, kind="not-local", detail=detail), why=f"host {request.host!r:.80}")
        if isinstance(asker, Unverified):
            raise Refused(_unverified(asker), why=asker.why)
        return asker, self._limits.caller(asker)

    def _check_flow(self, flow: str, caller: CallerSpec) -> None:
        if not caller.may_call(flow):
            detail = f"Caller {caller.name} may not call this flow."
            raise Refused(Problem(status=403, kind="flow-not-allowed", detail=detail), why=f"flow {flow!r:.80}")
        is_known = self._spec.flows is None or flow in self._spec.flows
        if not is_known or len(flow) > LONGEST_FLOW or not flow.isprintable():
            raise Refused(Problem(status=404, kind="no-such-flow", detail="There is no flow of this name."))

    def _check_open(self) -> None:
        if self.is_closing:
            raise Refused(Problem(status=503, kind="closing", detail="This door is closing.", retry_after_s=1))
        if self._desk.shelf.memory.is_full:
            detail = "The door holds as much as it may."
            raise Refused(Problem(status=503, kind="full", detail=detail, retry_after_s=1))

    async def _body(self, request: web.Request) -> bytes:
        most = self._spec.max_body_bytes
        too_large = Problem(status=413, kind="too-large", detail=f"A body may have {most:,} bytes.")
        if request.content_length is not None and request.content_length > most:
            raise Refused(too_large)
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                await _ask_for_body(request)
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(too_large) from None
        except TimeoutError:
            detail = f"The body has to be here within {BODY_WITHIN_S:g} s."
            raise Refused(Problem(status=408, kind="too-slow", detail=detail)) from None

    def _wait_s(self, asked_s: int | None) -> float:
        return min(self._spec.default_wait_s if asked_s is None else asked_s, self._spec.max_wait_s)

    async def _answer(self, request_id: RequestId, wait_s: float) -> Reply | None:
        """What came; or, while an answer may still come, where to ask on. None: it is forgotten."""
        loop_s, wall_s = asyncio.get_running_loop().time(), time.time()
        lives_until = request_id.issued + self._spec.timeout_s + LATE_S
        until = loop_s + max(0.0, min(wait_s, lives_until - wall_s))
        found = await self._desk.shelf.wait(request_id, until=until)
        if found is Unknown.FORGOTTEN:
            return None
        if isinstance(found, Entry) and found.answer is not None:
            return Reply(response=response_of(found.answer), told=found)
        if time.time() >= lives_until:
            return Reply(response=unanswered(str(request_id)))
        return Reply(response=_pending(request_id, wait_s))


def _failure(answer: TypedReply) -> Failure:
    return Failure(
        at=time.time(),
        outcome=answer.outcome.value,
        reason=None if answer.reason is None else fit_to_show(answer.reason, LONGEST_KEY),
        http_status=answer.http_status,
        request_id=answer.request_id,
        run_id=None if answer.run_id is None else fit_to_show(answer.run_id, LONGEST_KEY),
        detail=None,
    )


async def _ask_for_body(request: web.Request) -> None:
    """Of who waits for that; aiohttp would ask before anybody knows whether the body is wanted."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer proper


def _is_no_web_page(request: web.Request) -> bool:
    """Any page that a browser here shows may post to loopback, and by a name of its own read the answer."""
    host = request.url.host or ""
    return "Origin" not in request.headers and is_loopback(host)


def _pending(request_id: RequestId, wait_s: float) -> Response:
    place = f"/v1/requests/{request_id}"
    headers = {
        "Location": place,
        "Retry-After": "1",
        "Preference-Applied": f"wait={int(wait_s)}",
        "Flowbridge-Request-Id": str(request_id),
    }
    return json_response(202, {"requestId": str(request_id), "answer": place}, headers)


def json_response(status: int, document: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    return Response(status=status, headers=headers, body=orjson.dumps(document), content_type="application/json")


def _unverified(asker: Unverified) -> Problem:
    if asker.status == 503:
        detail = "The keys that tokens are verified with can't be had at the moment."
        return Problem(status=503, kind="no-keys", detail=detail, retry_after_s=5)
    error = "" if asker.error is None else f' error="{asker.error}"'
    detail = "Expected 'Authorization: Bearer' with an access token of Entra ID for this door."
    return Problem(
        status=asker.status, kind="not-verified", detail=detail, headers={"WWW-Authenticate": f"Bearer{error}"}
    )


def _not_sent(sent: NotSent) -> Problem:
    if sent.is_in_doubt:
        detail = "The queue did not confirm the request in time; it may have it all the same."
        return Problem(status=504, kind="sending-in-doubt", detail=detail)
    return Problem(status=503, kind="not-sent", detail="The queue can't be reached at the moment.", retry_after_s=5)


def _unknown() -> Problem:
    return Problem(status=404, kind="unknown", detail="There is no request of this id that you asked.")


def _key_of(request: web.Request) -> str | None:
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) > 1 or not _is_plain(keys[0], LONGEST_KEY):
        detail = f"Expected one Idempotency-Key of 1 to {LONGEST_KEY} printable ASCII characters."
        raise Refused(Problem(status=400, kind="bad-key", detail=detail))
    return keys[0]


def _content_type_of(request: web.Request) -> str | None:
    """As it was said; `request.content_type` would make one up."""
    content_type = request.headers.get("Content-Type")
    if content_type and not _is_plain(content_type, LONGEST_CONTENT_TYPE):
        detail = f"Expected a Content-Type of at most {LONGEST_CONTENT_TYPE} printable ASCII characters."
        raise Refused(Problem(status=400, kind="bad-content-type", detail=detail))
    return content_type or None


def _trace_of(request: web.Request) -> dict[str, str]:
    """What can't be a trace's is ignored, as W3C wants it."""
    return {name: text for name in _TRACE if _is_plain(text := request.headers.get(name, ""), LONGEST_TRACE)}


def _is_plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable()


def _wait_asked(request: web.Request) -> int | None:
    queries = request.query.getall("wait", [])
    if not queries:
        return preferred_s(request.headers.getall("Prefer", []))
    seconds = asked_s(queries[0]) if len(queries) == 1 else None
    if seconds is None:
        raise Refused(Problem(status=400, kind="bad-wait", detail="Expected wait= with a whole number of seconds."))
    return seconds
