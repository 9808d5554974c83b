"""Power Automate's HTTP triggers as their callers see them."""

import asyncio
import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from aiohttp import web

from worker.emulator.standins.behaviours import (
    Accept,
    Answer,
    Behaviour,
    CutOff,
    CutPoint,
    Drip,
    Echo,
    GatewayAnswer,
    Hang,
    PlatformError,
)
from worker.emulator.standins.loopback import Loopback
from worker.emulator.standins.recorded import Recorded
from worker.emulator.standins.tokens import read

PUBLIC_AUDIENCE: Final = "https://service.flow.microsoft.com/"
MESSAGE_LIMIT_BYTES: Final = 100 * 1024 * 1024  # the platform's own
RUN_ID: Final = "x-ms-workflow-run-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCall:
    """A trigger's call or a poll (`operation` set); header names in lower case, `at` on the loop's clock."""

    workflow: str
    method: str
    path_and_query: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """An asynchronous response on its way."""

    polls_left: int
    answer: Answer
    run_id: str
    retry_after: str | None


class FlowStandIn(Loopback):
    """One trigger per scripted workflow; others answer 404 WorkflowNotFound.

    Each call does the next behaviour of its workflow's script; the last one stays. A trigger wants a bearer token of
    `IdentityStandIn` for `audience`, unless the URL carries `sig=` (then a token is refused) or `audience` is None.
    """

    def __init__(self, *, audience: str | None = PUBLIC_AUDIENCE, ssl_context: ssl.SSLContext | None = None) -> None:
        app = web.Application(client_max_size=MESSAGE_LIMIT_BYTES)
        app.router.add_route("*", "/workflows/{workflow}/triggers/manual/paths/invoke", self._invoke)
        app.router.add_get("/workflows/{workflow}/operations/{operation}", self._poll)
        super().__init__(app, ssl_context=ssl_context)
        self._audience = audience
        self._scripts: dict[str, list[Behaviour]] = {}
        self._operations: dict[str, _Operation] = {}
        self._serial = itertools.count(1)
        self._in_flight: Counter[str] = Counter()
        self._peak_in_flight: Counter[str] = Counter()
        self.calls: Recorded[ReceivedCall] = Recorded()
        self.polls: Recorded[ReceivedCall] = Recorded()

    def script(self, workflow: str, *behaviours: Behaviour) -> None:
        self._scripts[workflow] = list(behaviours) or [Echo()]

    def url_of(self, workflow: str, *, sig: str | None = None) -> str:
        signature = "" if sig is None else f"&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={sig}"
        return f"{self.url}/workflows/{workflow}/triggers/manual/paths/invoke?api-version=1{signature}"

    def finish_operations(self, answer: Answer) -> None:
        """Every asynchronous response under way answers so from now on."""
        for name, operation in self._operations.items():
            self._operations[name] = replace(operation, polls_left=0, answer=answer)

    def peak_in_flight(self, workflow: str) -> int:
        """The most calls of this workflow that were ever under way at once."""
        return self._peak_in_flight[workflow]

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        workflow = request.match_info["workflow"]
        self._in_flight[workflow] += 1
        self._peak_in_flight[workflow] = max(self._peak_in_flight[workflow], self._in_flight[workflow])
        try:
            self.calls.add(await _received(request))
            refusal = self._unauthorized(request)
            if refusal is not None:
                return _error(refusal)
            script = self._scripts.get(workflow)
            if script is None:
                return _error(PlatformError(status=404, code="WorkflowNotFound", message=f"No workflow {workflow!r}."))
            behaviour = script.pop(0) if len(script) > 1 else script[0]
            return await self._behave(behaviour, request, run_id=f"0858{next(self._serial):021d}CU00")
        finally:
            self._in_flight[workflow] -= 1

    async def _behave(self, behaviour: Behaviour, request: web.Request, *, run_id: str) -> web.StreamResponse:
        match behaviour:
            case Answer():
                await asyncio.sleep(behaviour.after_s)
                return _answer(behaviour, run_id)
            case Echo():
                await asyncio.sleep(behaviour.after_s)
                content_type = request.headers.get("Content-Type")
                return _answer(Answer(body=await request.read(), content_type=content_type), run_id)
            case PlatformError():
                return _error(behaviour, run_id=run_id if behaviour.has_run else None)
            case GatewayAnswer():
                return web.Response(
                    status=behaviour.status,
                    body=behaviour.body,
                    headers={**_content_type(behaviour), **behaviour.headers},
                )
            case Accept():
                return self._accept(behaviour, request.match_info["workflow"], run_id)
            case Hang():
                await asyncio.Event().wait()  # ends with the caller's connection
                raise web.HTTPServiceUnavailable
            case CutOff():
                return await _cut_off(behaviour, request, run_id)
            case Drip():
                return await _drip(behaviour, request, run_id)
        assert_never(behaviour)

    def _accept(self, accept: Accept, workflow: str, run_id: str) -> web.Response:
        operation = str(next(self._serial))
        self._operations[operation] = _Operation(
            polls_left=accept.polls, answer=accept.then, run_id=run_id, retry_after=accept.retry_after
        )
        location = accept.location or f"{self.url}/workflows/{workflow}/operations/{operation}"
        return _pending(location, run_id, accept.retry_after)

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        operation = request.match_info["operation"]
        self.polls.add(await _received(request))
        pending = self._operations.get(operation)
        if pending is None:
            return _error(PlatformError(status=404, code="OperationNotFound"))
        if pending.polls_left > 0:
            self._operations[operation] = replace(pending, polls_left=pending.polls_left - 1)
            return _pending(f"{self.url}{request.path_qs}", pending.run_id, pending.retry_after)
        return _answer(pending.answer, pending.run_id)

    def _unauthorized(self, request: web.Request) -> PlatformError | None:
        authorization = request.headers.get("Authorization")
        if "sig" in request.query:
            if authorization is None:
                return None
            return PlatformError(
                status=401, code="DirectApiAuthorizationRequired", message="A signed URL takes no bearer token."
            )
        if self._audience is None:
            return None
        if authorization is None:
            return PlatformError(
                status=401, code="DirectApiAuthorizationRequired", message="The call carries no bearer token."
            )
        claims = read(authorization.removeprefix("Bearer "))
        if claims is None or claims.exp <= time.time():
            return PlatformError(status=401, code="Unauthorized", message="The bearer token is not valid.")
        if claims.aud != self._audience:
            return PlatformError(status=403, code="MisMatchingOAuthClaims", message=f"Wrong audience {claims.aud}.")
        return None


async def _received(request: web.Request) -> ReceivedCall:
    return ReceivedCall(
        workflow=request.match_info["workflow"],
        method=request.method,
        path_and_query=request.path_qs,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
        at=asyncio.get_running_loop().time(),
        operation=request.match_info.get("operation"),
    )


def _headers(answer: Answer, run_id: str) -> dict[str, str]:
    return {RUN_ID: run_id, "x-ms-request-id": run_id, **_content_type(answer), **answer.headers}


def _content_type(answer: Answer | GatewayAnswer) -> dict[str, str]:
    return {} if answer.content_type is None else {"Content-Type": answer.content_type}


def _answer(answer: Answer, run_id: str) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer, run_id))


def _pending(location: str, run_id: str, retry_after: str | None) -> web.Response:
    retry = {} if retry_after is None else {"Retry-After": retry_after}
    return web.Response(status=202, headers={RUN_ID: run_id, "Location": location, **retry})


def _error(error: PlatformError, *, run_id: str | None = None) -> web.Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if error.retry_after is not None:
        headers["Retry-After"] = error.retry_after
    if run_id is not None:
        headers[RUN_ID] = run_id
    body = json.dumps({"error": {"code": error.code, "message": error.message}}).encode()
    return web.Response(status=error.status, body=body, headers=headers)


async def _cut_off(cut: CutOff, request: web.Request, run_id: str) -> web.StreamResponse:
    response = web.StreamResponse(status=cut.answer.status, headers=_headers(cut.answer, run_id))
    if cut.at is CutPoint.IN_BODY:
        response.content_length = len(cut.answer.body)
        await response.prepare(request)
        await response.write(cut.answer.body[: len(cut.answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(drip: Drip, request: web.Request, run_id: str) -> web.StreamResponse:
    response = web.StreamResponse(status=drip.answer.status, headers=_headers(drip.answer, run_id))
    response.content_length = len(drip.answer.body)
    await response.prepare(request)
    for start in range(0, len(drip.answer.body), drip.chunk_bytes):
        await response.write(drip.answer.body[start : start + drip.chunk_bytes])
        await asyncio.sleep(drip.every_s)
    await response.write_eof()
    return response
