"""The flows' door: does with each call what its request says, and remembers what came in and how it ended.

A worker calls with its own name in the URL's query.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from aiohttp import web
from chaos.flows import FLOWS
from chaos.plan import Do, Step, Trigger
from chaos.records import Call, Ending

from worker.emulator.standins.tokens import read

RUN_ID: Final = "x-ms-workflow-run-id"
TRIGGER: Final = "/workflows/{flow}/triggers/manual/paths/invoke"
OPERATION: Final = "/workflows/{flow}/operations/{run}"


@dataclass(slots=True)
class _Pending:
    call: Call
    polls_left: int


def _tell_nobody(_trigger: Trigger, _by: str | None, _about: str) -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Door:
    """`tell` hears of each call: the occasion, the worker and the request. `is_down`: the platform is."""

    tell: Callable[[Trigger, str | None, str], None] = _tell_nobody
    url: str = ""
    is_down: bool = False
    calls: list[Call] = field(default_factory=list)
    unauthorized: int = 0
    _numbers: Counter[str] = field(default_factory=Counter)
    _runs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _pending: dict[str, _Pending] = field(default_factory=dict)

    def url_of(self, flow: str, worker: str) -> str:
        return f"{self.url}{TRIGGER.format(flow=flow)}?api-version=1&worker={worker}"

    def forget(self) -> None:
        self.calls.clear()
        self._numbers.clear()
        self._pending.clear()

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        flow, worker = request.match_info["flow"], request.query.get("worker", "")
        asked = json.loads(await request.read())
        request_id = str(asked["id"])
        number = self._numbers[request_id]
        self._numbers[request_id] += 1
        call = Call(
            request_id=request_id,
            flow=flow,
            by=worker,
            at=time.time(),
            run=f"run-{next(self._runs)}",
            number=number,
        )
        self.calls.append(call)
        self.tell(Trigger.CALLED, worker, request_id)
        try:
            return await self._behave(request, call, _step(asked, number))
        finally:
            if call.ended_at is None:  # cancelled: the connection is gone
                self._end(call, Ending.GONE)

    async def _behave(self, request: web.Request, call: Call, step: Step) -> web.StreamResponse:
        if self.is_down or not self._is_authorized(request, call.flow):
            status = 503 if self.is_down else 401
            return await self._write(request, call, Ending.NOT_RUN, _error(status, "ServiceUnavailable"))
        await asyncio.sleep(step.after_s)
        match step.do:
            case Do.ANSWER:
                return await self._write(request, call, Ending.ANSWERED, self._answer(call))
            case Do.REFUSE:
                response = web.json_response({"no": call.request_id}, status=422, headers={RUN_ID: call.run})
                return await self._write(request, call, Ending.REFUSED, response)
            case Do.TURN_AWAY:
                error = _error(400, "TriggerInputSchemaMismatch")
                return await self._write(request, call, Ending.TURNED_AWAY, error)
            case Do.THROTTLE:
                error = _error(429, "WorkflowTriggerRunsThrottled", {"Retry-After": "1"})
                return await self._write(request, call, Ending.NOT_RUN, error)
            case Do.UNAVAILABLE:
                return await self._write(request, call, Ending.NOT_RUN, _error(503, "ServiceUnavailable"))
            case Do.NO_RESPONSE:
                error = _error(502, "NoResponse", {RUN_ID: call.run})
                return await self._write(request, call, Ending.DOUBTFUL, error)
            case Do.HANG:
                await asyncio.Event().wait()  # ends with the caller's connection
                raise web.HTTPServiceUnavailable
            case Do.CUT_BEFORE | Do.CUT_WITHIN:
                return await self._cut(request, call, is_within=step.do is Do.CUT_WITHIN)
            case Do.ACCEPT:
                self._pending[call.run] = _Pending(call, step.polls)
                return await self._write(request, call, Ending.ACCEPTED, self._accepted(call))
        assert_never(step.do)

    async def poll(self, request: web.Request) -> web.StreamResponse:
        pending = self._pending.get(request.match_info["run"])
        if pending is None:
            return _error(404, "OperationNotFound")
        if self.is_down:
            return _error(503, "ServiceUnavailable")
        if pending.polls_left > 0:
            pending.polls_left -= 1
            return self._accepted(pending.call)
        return self._answer(pending.call)

    async def _write(
        self, request: web.Request, call: Call, ending: Ending, response: web.Response
    ) -> web.StreamResponse:
        """Whole, or the connection is gone: then nobody knows how the call ended."""
        self.tell(Trigger.ANSWERING, call.by, call.request_id)
        is_there = True
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            is_there = False
        is_there = is_there and request.transport is not None and not request.transport.is_closing()
        self._end(call, ending if is_there else Ending.GONE)
        self.tell(Trigger.ANSWERED, call.by, call.request_id)
        return response

    async def _cut(self, request: web.Request, call: Call, *, is_within: bool) -> web.StreamResponse:
        self._end(call, Ending.CUT)
        response = web.StreamResponse(headers={RUN_ID: call.run})
        if is_within:
            response.content_length = 1000
            await response.prepare(request)
            await response.write(b"{" * 500)
        if request.transport is not None:
            request.transport.close()
        return response

    def _answer(self, call: Call) -> web.Response:
        call.body = json.dumps({"id": call.request_id, "run": call.run}).encode()
        return web.Response(body=call.body, content_type="application/json", headers={RUN_ID: call.run})

    def _accepted(self, call: Call) -> web.Response:
        location = f"{self.url}{OPERATION.format(flow=call.flow, run=call.run)}"
        return web.Response(status=202, headers={RUN_ID: call.run, "Location": location, "Retry-After": "0.3"})

    def _is_authorized(self, request: web.Request, flow: str) -> bool:
        if FLOWS[flow].auth == "none":
            return True
        claims = read(request.headers.get("Authorization", "").removeprefix("Bearer "))
        is_valid = claims is not None and claims.exp > time.time()
        self.unauthorized += not is_valid
        return is_valid

    @staticmethod
    def _end(call: Call, ending: Ending) -> None:
        call.ending, call.ended_at = ending, time.time()


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    door = Door()
    application = web.Application()
    application.router.add_post(TRIGGER, door.invoke)
    application.router.add_get(OPERATION, door.poll)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield door
    finally:
        await runner.cleanup()


def _step(asked: Any, number: int) -> Step:
    """The last one stays."""
    step = asked["steps"][min(number, len(asked["steps"]) - 1)]
    return Step(do=Do(step["do"]), after_s=step["after_s"], polls=step["polls"])


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"code": code, "message": "as planned"}}, status=status, headers=headers)
