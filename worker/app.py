"""The composition root: builds everything from settings, owns signals and drain, and takes it all down in order."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from itertools import groupby
from typing import Final
from urllib.parse import urlsplit

import structlog

from worker.admin import server as admin
from worker.bridge.leash import CutReason
from worker.bridge.observed import Observed
from worker.bridge.places import Places
from worker.bridge.process import Bridge, BridgeSpec
from worker.bridge.pump import Pump
from worker.core.bulkhead import Bulkhead
from worker.core.flow_spec import FlowSpec
from worker.core.loop_lag import LoopLag
from worker.core.recent import Recent
from worker.core.redelivery import RedeliverySpec
from worker.core.wait_used import WaitUsed
from worker.flow.client import FlowClient
from worker.flow.fleet import Fleet
from worker.flow.token import Credential, IdentitySpec
from worker.metrics.exposition import exposition, registry_of_process
from worker.metrics.facts import FactsCollector
from worker.metrics.requests import RequestMetrics
from worker.observing import Observing
from worker.request_log import log_observed
from worker.running import Worker, with_recent
from worker.servicebus.connect import Bus, BusOptions, QueueSource, Source, SubscriptionSource
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.redeliveries import RedeliveryOutbox
from worker.servicebus.replies import ReplyOutbox
from worker.servicebus.session_lanes import ReceiverSessionLane
from worker.settings import Settings, mounted_url
from worker.stop import Stop, stopped_by_signals
from worker.tracing import opening as tracing
from worker.tracing.spec import TraceSpec
from worker.upkeep import Upkeep

# Each is a connection, and makes its settlements one after the other: two keep one core busy where the broker is near,
# and sixteen settle 800 requests a second where that takes 20 ms (README, "How fast").
LEAST_LANES: Final = 2
MOST_LANES: Final = 16
LARGEST_WINDOW: Final = 16  # beyond, to ask for more at once saves less than 1 % of a request's CPU

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWorker(Worker):
    http_port: int


async def run(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit status."""
    with stopped_by_signals() as stop:
        async with assembled(settings) as worker:
            ease_collector()
            _log.info("worker_started", http_port=worker.http_port, concurrency=settings.worker.concurrency)
            is_clean = await drained(worker, stop, drain_s=settings.worker.drain_s)
    _log.info("worker_stopped", clean=is_clean)
    return 0 if is_clean else 1


def ease_collector() -> None:
    """What is there once a worker is built stays; and a request makes some 2,000 objects, of which few are in cycles.

    By default Python looks for these twice during each request, which takes 4 % of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@asynccontextmanager
async def assembled(
    settings: Settings, *, observe: Callable[[Observed], None] | None = None
) -> AsyncIterator[ServedWorker]:
    """As `built`, and listening. Raises OSError, too, when the HTTP port can't be bound."""
    async with (
        built(settings, observe=observe) as worker,
        admin.serve(
            host=settings.http.host,
            port=settings.http.port,
            surface=_surface(worker, settings.http.token),
        ) as port,
    ):
        yield ServedWorker(**{field.name: getattr(worker, field.name) for field in fields(Worker)}, http_port=port)


def _surface(worker: Worker, token: str | None) -> admin.Surface:
    return admin.Surface(
        read_readiness=lambda: worker.readiness,
        read_status=lambda: with_recent(
            worker.status, [worker.observing.recent.told()], is_steerable=token is not None
        ),
        read_metrics=partial(exposition, worker.registry),
        steer=lambda steer: worker.steer(steer.flow, is_isolated=steer.action == "isolate"),
        admin_token=token,
    )


@asynccontextmanager
async def built(settings: Settings, *, observe: Callable[[Observed], None] | None = None) -> AsyncIterator[Worker]:
    """Everything in its place; the pump is yours to run. Left in the reverse order of what depends on what.

    Raises Misconfigured.
    """
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(credential_of(settings))
        flows = settings.flow_specs()
        credential.prepare({flow.scope for flow in flows.values() if flow.auth == "identity"})
        client = await stack.enter_async_context(FlowClient(flows.values(), credential))
        bus = await stack.enter_async_context(Bus(bus_options(settings, credential)))
        tracer = await stack.enter_async_context(tracing.opened(trace_spec(settings, bus.namespace, flows)))
        replies = await stack.enter_async_context(ReplyOutbox(bus, queues=settings.servicebus.reply_queues))
        copies_to = redelivery_queue(settings)
        redeliveries = (
            None if copies_to is None else await stack.enter_async_context(RedeliveryOutbox(bus, queue=copies_to))
        )
        stack.callback(replies.stop)  # closing takes a second: both outboxes at once
        places = Places(bulkhead_of(settings))
        bridge = Bridge(
            spec=BridgeSpec(
                namespace_host=urlsplit(f"//{bus.namespace}").hostname or bus.namespace,
                reply_queues=settings.servicebus.reply_queues,
                flows=flows,
                routes=settings.route_rules(),
                admission=settings.dataverse.admission(),
                redelivery=RedeliverySpec(
                    delays_s=settings.worker.redelivery_s,
                    max_age_s=settings.worker.max_age_s,
                    is_in_place=settings.servicebus.request_sessions,
                ),
                default_timeout_s=settings.worker.default_timeout_s,
            ),
            flows=client,
            replies=replies,
            redeliveries=redeliveries,
            places=places,
            tracing=tracer,
        )
        registry = registry_of_process()
        observing = Observing(
            log=observe or log_observed,
            metrics=RequestMetrics(registry, flows),
            recent=Recent(),
            wait_used=WaitUsed(),
            takes_more=client.takes_more,
            trace=None if tracer is None else tracer.record,
        )
        pump = _pump(settings, bus, bridge, observing.note)
        fleet = fleet_of(settings)
        mounted = {flow.called: partial(mounted_url, flow) for flow in settings.flows if flow.url_file is not None}
        upkeep = Upkeep(pump=pump, client=client, credential=credential, fleet=fleet, lag=LoopLag(), mounted=mounted)
        upkeep.begin()
        worker = Worker(
            pump=pump,
            upkeep=upkeep,
            replies=replies,
            places=places,
            observing=observing,
            registry=registry,
            began_at=time.time(),
        )
        registry.register(FactsCollector(lambda: worker.facts))
        yield worker


async def drained(worker: Worker, stop: Stop, *, drain_s: float) -> bool:
    """Run the worker until `stop`, then let it finish within `drain_s`. Whether everything in hand was settled."""
    pump = worker.pump
    async with asyncio.TaskGroup() as tasks:
        upkeep = tasks.create_task(worker.upkeep.run())
        pumping = tasks.create_task(pump.run())
        await stop.requested.wait()
        _log.info("drain_started", in_flight=pump.facts.in_flight, drain_s=drain_s)
        pump.stop()
        reserve_s = min(5.0, 0.5 * drain_s)  # for answers and settlements after the last call was cut
        hurried = tasks.create_task(stop.hurried.wait())
        await asyncio.wait({pumping, hurried}, timeout=drain_s - reserve_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        pump.cut(CutReason.DRAIN_OVER)
        await asyncio.wait({pumping}, timeout=0.6 * reserve_s)
        pump.cut(CutReason.STOP_NOW)
        await asyncio.wait({pumping}, timeout=0.3 * reserve_s)
        is_clean = pump.facts.in_flight == 0  # links may still be closing; that takes them a second
        pumping.cancel()
        upkeep.cancel()
    return is_clean


def bus_options(settings: Settings, credential: Credential) -> BusOptions:
    servicebus = settings.servicebus
    if servicebus.connection_string is not None:
        return BusOptions(
            connection_string=servicebus.connection_string.get_secret_value(), transport=servicebus.transport
        )
    return BusOptions(namespace=servicebus.namespace, credential=credential, transport=servicebus.transport)


def _pump(settings: Settings, bus: Bus, bridge: Bridge, observe: Callable[[Observed], None]) -> Pump:
    lock_s, sources = settings.servicebus.lock_s, lane_sources(settings)
    lanes: list[list[ReceiverLane]] = []
    sessions: list[ReceiverSessionLane] = []
    if settings.servicebus.request_sessions:
        sessions = [ReceiverSessionLane(bus, source, lock_s=lock_s) for source in sources]
    else:
        windows = windows_of(sources, settings.worker.concurrency)
        lanes = [
            [ReceiverLane(bus, source, window=windows[source], lock_s=lock_s) for source in same]
            for _, same in groupby(sources)
        ]
    return Pump(
        *lanes,
        least=LEAST_LANES,
        sessions=sessions,
        bridge=bridge,
        concurrency=settings.worker.concurrency,
        max_delivery_count=settings.servicebus.max_delivery_count,
        cpu_s=time.process_time,
        observe=observe,
    )


def windows_of(sources: Sequence[Source], concurrency: int) -> dict[Source, int]:
    """How many messages a lane asks for at once; slots are kept for them, also while none come.

    A retry queue is nearly always empty, so there it is one.
    """
    counted = Counter(sources)
    request, *retry = counted
    left = concurrency - sum(counted[source] for source in retry)
    return {request: min(LARGEST_WINDOW, left // counted[request])} | dict.fromkeys(retry, 1)


def lane_sources(settings: Settings) -> list[Source]:
    """One per lane, equal ones beside each other. No more lanes than slots, because each keeps a window of them free;
    a retry queue beside a topic has two.

    With sessions a lane is a slot: it holds one, and in it one request at a time.
    """
    servicebus, concurrency = settings.servicebus, settings.worker.concurrency
    if servicebus.request_sessions:
        return [request_source(settings)] * concurrency
    if servicebus.request_topic is None:
        return [request_source(settings)] * min(MOST_LANES, concurrency)
    retries = 0 if servicebus.retry_queue is None else min(2, concurrency // 2)
    return [
        *[request_source(settings)] * min(MOST_LANES, concurrency - retries),
        *[QueueSource(queue=servicebus.retry_queue or "")] * retries,
    ]


def request_source(settings: Settings) -> Source:
    servicebus = settings.servicebus
    if servicebus.request_topic is None:
        return QueueSource(queue=servicebus.request_queue)
    return SubscriptionSource(topic=servicebus.request_topic, subscription=servicebus.request_subscription or "")


def credential_of(settings: Settings) -> Credential:
    identity = settings.identity
    return Credential(IdentitySpec(kind=identity.kind, client_id=identity.client_id, cloud=identity.cloud))


def bulkhead_of(settings: Settings) -> Bulkhead:
    """Nothing is kept for a flow where what finds no slot has nowhere to go: it waits in the slot that it has."""
    is_kept = redelivery_queue(settings) is not None
    return Bulkhead(settings.worker.concurrency, settings.flow_specs(), is_kept=is_kept)


def fleet_of(settings: Settings) -> Fleet:
    worker = settings.worker
    return Fleet(replicas=worker.replicas, processes=worker.processes, name=worker.replicas_dns)


def trace_spec(settings: Settings, namespace: str, flows: Mapping[str, FlowSpec]) -> TraceSpec:
    source = request_source(settings)
    bus = urlsplit(f"//{namespace}")
    return TraceSpec(
        bus_host=bus.hostname or namespace,
        bus_port=bus.port,
        requests_from=source.queue if isinstance(source, QueueSource) else source.topic,
        subscription=None if isinstance(source, QueueSource) else source.subscription,
        flows=flows,
    )


def redelivery_queue(settings: Settings) -> str | None:
    """Copies never go to a topic: its other subscriptions would get them too. None: nowhere.

    Nor back into a session, where others would have overtaken them.
    """
    servicebus = settings.servicebus
    if servicebus.request_sessions:
        return None
    return servicebus.request_queue if servicebus.request_topic is None else servicebus.retry_queue
