"""One request sent, worked on and answered, by a worker that runs here."""

import asyncio
import time
import uuid
from typing import Final

from worker.app import assembled, drained
from worker.bridge.observed import Observed
from worker.cli.caller import requester_of
from worker.cli.finding import Finding, failed, ok
from worker.cli.preflight.azure import Azure
from worker.cli.preflight.entities import entities
from worker.cli.preflight.mending import Mending
from worker.core.outcome import Outcome
from worker.core.redelivery import FIRST_ENQUEUED
from worker.core.roles import needs_of_callers
from worker.requester import BusRefused, NoReply, TypedReply
from worker.settings import Settings
from worker.stop import Stop

ROUND_TRIP_S: Final = 30.0
TOO_LATE_MS: Final = 3_600_000
_NAME: Final = "round trip"


async def round_trip(settings: Settings, azure: Azure) -> Finding:
    """A worker with one slot, here, beside any others; whoever gets the request answers `expired` and calls no flow."""
    here = settings.model_copy(
        update={
            "worker": settings.worker.model_copy(update={"concurrency": 1}),
            "http": settings.http.model_copy(update={"host": "127.0.0.1", "port": 0}),
        }
    )
    stop = Stop()
    async with assembled(here, observe=_unseen) as worker, asyncio.TaskGroup() as tasks:
        tasks.create_task(drained(worker, stop, drain_s=settings.worker.drain_s))
        try:
            return await _asked(settings, azure)
        finally:
            stop.request()


async def _asked(settings: Settings, azure: Azure) -> Finding:
    started = time.perf_counter()
    async with requester_of(settings) as requester:
        try:
            reply = await requester.request(
                b"{}",
                flow=next(iter(settings.flow_specs())),
                session_id=str(uuid.uuid4()) if settings.servicebus.request_sessions else None,
                properties={FIRST_ENQUEUED: int(time.time() * 1000) - TOO_LATE_MS},
                timeout_s=ROUND_TRIP_S,
            )
        except BusRefused as refused:
            mend = Mending(settings=settings, azure=azure).grant(*needs_of_callers(entities(settings)))
            return failed(_NAME, _unanswered(refused), mend=mend if "not allowed" in str(refused) else None)
        except NoReply as missing:
            return failed(_NAME, _unanswered(missing))
        return _judged(reply, elapsed_ms=(time.perf_counter() - started) * 1000)


def _unanswered(missing: Exception) -> str:
    return f"{missing} Check that a worker runs, and the rights to send requests and to listen for replies."


def _judged(reply: TypedReply, *, elapsed_ms: float) -> Finding:
    if reply.outcome is not Outcome.EXPIRED:
        came = f"expected the answer expired, got {reply.outcome.value} ({reply.reason})"
        return failed(_NAME, f"{came}; correct the routes")
    return ok(_NAME, f"one request sent and answered in {elapsed_ms:.0f} ms", elapsed_ms=round(elapsed_ms))


def _unseen(_observed: Observed) -> None:
    pass
