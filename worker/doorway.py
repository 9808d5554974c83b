"""The composition root of the door: builds it from settings, owns signals and drain."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial

import structlog

from worker.admin import server as admin
from worker.app import bus_options, credential_of, request_source
from worker.bridge.pump import PumpFacts
from worker.core.door.asker import ALL_FLOWS, ANYBODY, CallerSpec
from worker.core.door.ids import REPLICA
from worker.core.door.memory import MemorySpec
from worker.core.loop_lag import LoopLag
from worker.core.readiness import DRAINING, Readiness
from worker.door import server
from worker.door.counter import Counter, CounterSpec
from worker.door.desk import Desk, DeskSpec
from worker.door.forwarding import Peers, PeersSpec
from worker.door.limits import Limits
from worker.door.tokens import TokenSpec
from worker.door.verifying import verifying
from worker.metrics.door import DoorCollector, DoorFacts, DoorMetrics
from worker.metrics.exposition import exposition, registry_of_process
from worker.release import release
from worker.running import with_recent
from worker.servicebus.connect import Bus, QueueSource
from worker.settings import Settings
from worker.stop import stopped_by_signals
from worker.upkeep import watch_loop

_log = structlog.stdlib.get_logger(__name__)


class NoReplica(Exception):
    """A door that can't tell which of its replicas it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDoor:
    """`began_at` in epoch seconds."""

    desk: Desk
    counter: Counter
    limits: Limits
    peers: Peers
    lag: LoopLag
    began_at: float
    port: int = 0
    http_port: int = 0

    @property
    def readiness(self) -> Readiness:
        reasons = []
        listener = self.desk.listener
        if self.counter.is_closing:
            reasons.append(DRAINING)
        elif not listener.is_open:
            reasons.append(f"no session for answers: {listener.refusal or 'connecting'}")
        held_up = self.lag.failure(asyncio.get_running_loop().time())
        return Readiness(reasons=(*reasons, *([] if held_up is None else [held_up])))


async def run(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit status."""
    with stopped_by_signals() as stop:
        async with opened(settings) as door:
            _log.info("door_opened", port=door.port)
            await stop.requested.wait()
            _log.info("drain_started", in_flight=door.limits.in_hand, drain_s=settings.door.drain_s)
            door.counter.is_closing = True
            await _drained(door, stop.hurried, drain_s=settings.door.drain_s)
    _log.info("door_closed")
    return 0


async def _drained(door: OpenDoor, hurried: asyncio.Event, *, drain_s: float) -> None:
    """Who waits is answered while that may be; then told where to ask on."""
    async with asyncio.TaskGroup() as tasks:
        ends = [tasks.create_task(door.limits.idle.wait()), tasks.create_task(hurried.wait())]
        await asyncio.wait(ends, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    door.desk.shelf.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[OpenDoor]:
    """Listening. Raises Misconfigured, NoReplica, and OSError when a port can't be bound."""
    spec, own = settings.door, replica_of(settings)
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(credential_of(settings))
        bus = await stack.enter_async_context(Bus(bus_options(settings, credential)))
        desk = await stack.enter_async_context(Desk(bus, _desk_spec(settings, own)))
        tokens = await stack.enter_async_context(verifying(_token_spec(settings))) if spec.tenants else None
        peers = await stack.enter_async_context(Peers(spec=PeersSpec(own=own, url=spec.peers, replicas=spec.replicas)))
        callers = [caller.spec() for caller in spec.callers]
        limits = Limits(callers if spec.tenants else [_anybody(spec.max_waiting)], most=spec.max_waiting)
        counter = Counter(_counter_spec(settings, own), desk=desk, tokens=tokens, limits=limits, peers=peers)
        door = OpenDoor(
            desk=desk,
            counter=counter,
            limits=limits,
            peers=peers,
            lag=LoopLag(),
            began_at=time.time(),
        )
        registry = registry_of_process()
        metrics = DoorMetrics(registry)
        registry.register(DoorCollector(lambda: _facts(door, spec.max_waiting)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watching = tasks.create_task(watch_loop(door.lag))
        stack.callback(watching.cancel)
        surface = admin.Surface(
            read_readiness=lambda: door.readiness,
            read_status=lambda: _status(door, settings),
            read_metrics=partial(exposition, registry),
            steer=lambda _: False,
        )
        http = settings.http
        http_port = await stack.enter_async_context(admin.serve(host=http.host, port=http.port, surface=surface))
        port = await stack.enter_async_context(
            server.serve(
                host=spec.host,
                port=spec.port,
                counter=counter,
                desk=desk,
                metrics=metrics,
                max_body_bytes=spec.max_body_bytes,
                read_readiness=lambda: door.readiness,
            )
        )
        yield replace(door, port=port, http_port=http_port)


def replica_of(settings: Settings) -> str:
    """Stable over restarts, as a StatefulSet's host names are."""
    name = settings.door.replica or socket.gethostname().partition(".")[0].lower()
    if not REPLICA.fullmatch(name):
        raise NoReplica(f"The host's name {name!r:.80} can't name a replica. Set door.replica.")
    if settings.door.replicas and name not in settings.door.replicas:
        known = ", ".join(settings.door.replicas)
        raise NoReplica(
            f"This replica is {name!r:.80}, which is none of door.replicas ({known:.200}). Set door.replica."
        )
    return name


def _desk_spec(settings: Settings, own: str) -> DeskSpec:
    source, door, bus = request_source(settings), settings.door, settings.servicebus
    return DeskSpec(
        replica=own,
        secret=b"" if door.secret is None else door.secret.get_secret_value().encode(),
        request_queue=source.queue if isinstance(source, QueueSource) else source.topic,
        has_sessions=bus.request_sessions,
        reply_queue=_reply_queue(settings),
        reply_ttl_s=door.timeout_s + door.remember_s,
        memory=MemorySpec(timeout_s=door.timeout_s, remember_s=door.remember_s, max_bytes=door.max_held_bytes),
    )


def _counter_spec(settings: Settings, own: str) -> CounterSpec:
    door, flows = settings.door, frozenset(settings.flow_specs())
    return CounterSpec(
        replica=own,
        reply_queue=_reply_queue(settings),
        flows=flows or None,
        timeout_s=door.timeout_s,
        remember_s=door.remember_s,
        default_wait_s=door.default_wait_s,
        max_wait_s=door.max_wait_s,
        max_body_bytes=door.max_body_bytes,
    )


def _reply_queue(settings: Settings) -> str:
    return settings.door.reply_queue or settings.servicebus.reply_queues[0]


def _token_spec(settings: Settings) -> TokenSpec:
    door = settings.door
    authority = door.authority or f"https://{settings.identity.fixed_by_cloud.authority}"
    tenants = frozenset(each.strip("{}").lower() for each in door.tenants)
    return TokenSpec(tenants=tenants, audiences=frozenset(door.audiences), authority=authority)


def _anybody(concurrency: int) -> CallerSpec:
    return CallerSpec(
        name="anybody", ids=frozenset({ANYBODY.object_id}), flows=frozenset({ALL_FLOWS}), concurrency=concurrency
    )


def _facts(door: OpenDoor, most: int) -> DoorFacts:
    shelf, listener = door.desk.shelf, door.desk.listener
    return DoorFacts(
        is_ready=door.readiness.is_ready,
        is_draining=door.counter.is_closing,
        is_listening=listener.is_open,
        in_hand=door.limits.in_hand,
        most_in_hand=most,
        held=len(shelf.memory),
        held_bytes=shelf.memory.size_bytes,
        forwarded=door.peers.forwarded,
        foreign=shelf.foreign,
        reconnects=listener.reconnects,
        loop_lag_s=door.lag.worst_s(asyncio.get_running_loop().time()),
        outcomes=shelf.outcomes,
    )


def _status(door: OpenDoor, settings: Settings) -> dict[str, object]:
    """In the shape of a worker's, as far as a door has what it has."""
    ready, facts = door.readiness, _facts(door, settings.door.max_waiting)
    flows = list(settings.flow_specs()) or list(door.counter.recent.told())
    status = {
        "kind": "door",
        "version": release(),
        "at": time.time(),
        "uptime_s": time.time() - door.began_at,
        "ready": ready.is_ready,
        "reasons": ready.reasons,
        "pump": asdict(
            PumpFacts(
                lanes=1,
                lanes_receiving=int(facts.is_listening),
                in_flight=facts.in_hand,
                slots=facts.most_in_hand,
                slots_free=max(0, facts.most_in_hand - facts.in_hand),
                is_stopping=facts.is_draining,
                is_paused=False,
                failure=door.desk.listener.refusal,
                renewals=0,
                locks_lost=0,
                unconfirmed=0,
                outages=facts.reconnects,
            )
        ),
        "flows": [{"name": name} for name in flows],
        "fleet": None,
        "tokens": [],
        "held": {"requests": facts.held, "bytes": facts.held_bytes},
        "loop_lag_s": facts.loop_lag_s,
    }
    return with_recent(status, [door.counter.recent.told()], is_steerable=False)
