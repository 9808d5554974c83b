"""The supervisor: keeps the children's seats taken, serves what they say as one worker's, and ends when they have."""

import asyncio
import time
from functools import partial

import structlog

from worker.admin import server as admin
from worker.metrics.exposition import exposition, registry_of_processes
from worker.settings import Settings
from worker.stop import stopped_by_signals
from worker.supervisor.brief import Brief, shared_out
from worker.supervisor.documents import ProcessFacts, metrics_of, pump_of, readiness_of, status_of
from worker.supervisor.seat import Seat

_log = structlog.stdlib.get_logger(__name__)


async def run(settings: Settings, *, log_level: str) -> int:
    """Until SIGTERM or SIGINT; the exit status. Raises OSError when the HTTP port can't be bound."""
    with stopped_by_signals() as stop:
        seats = [
            Seat(Brief(process=number, settings=own, log_level=log_level), stop)
            for number, own in enumerate(shared_out(settings))
        ]

        def facts() -> list[ProcessFacts]:
            return [seat.facts for seat in seats]

        def steer(wanted: admin.Steer) -> bool:
            if wanted.flow not in settings.flow_specs():
                return False
            for seat in seats:
                seat.steer(wanted.flow, is_isolated=wanted.action == "isolate")
            return True

        began_at, token = time.time(), settings.http.token
        surface = admin.Surface(
            read_readiness=lambda: readiness_of(facts(), is_draining=stop.requested.is_set()),
            read_status=lambda: status_of(
                facts(), began_at=began_at, is_draining=stop.requested.is_set(), is_steerable=token is not None
            ),
            read_metrics=partial(exposition, registry_of_processes(lambda: metrics_of(facts()))),
            steer=steer,
            admin_token=token,
        )
        async with admin.serve(host=settings.http.host, port=settings.http.port, surface=surface) as port:
            worker = settings.worker
            _log.info("worker_started", http_port=port, concurrency=worker.concurrency, processes=worker.processes)
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(seat.run()) for seat in seats]
                await stop.requested.wait()
                _log.info("drain_started", in_flight=pump_of(facts()).in_flight, drain_s=worker.drain_s)
    is_clean = all(task.result() for task in running)
    _log.info("worker_stopped", clean=is_clean)
    return 0 if is_clean else 1
