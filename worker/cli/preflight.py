"""What `flowbridge check` looks at, each with what it saw and, where it is wrong, what to do."""

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from worker.app import (
    assembled,
    bulkhead_of,
    bus_options,
    credential_of,
    drained,
    fleet_of,
    lane_sources,
    redelivery_queue,
)
from worker.bridge.observed import Observed
from worker.cli.caller import requester_of
from worker.cli.finding import Finding, Verdict, failed, hint, ok
from worker.cli.options import settings_from
from worker.cli.probe_flow import probe_flow
from worker.cli.sizing_findings import sizing_findings
from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Outcome
from worker.core.redelivery import FIRST_ENQUEUED
from worker.flow.token import Credential, NoToken
from worker.requester import BusRefused, NoReply
from worker.servicebus import probe
from worker.servicebus.connect import Bus
from worker.settings import Problem, Settings, SettingsInvalid
from worker.stop import Stop
from worker.supervisor.brief import shared_out

BUS_SCOPE: Final = "https://servicebus.azure.net/.default"
PLATFORM_ANSWERS_WITHIN_S: Final = 120.0
ROUND_TRIP_S: Final = 30.0
TOO_LATE_MS: Final = 3_600_000
CLOSING_S: Final = 15.0


async def findings(config: Path | None, *, round_trip: bool, probe_flows: Iterable[str]) -> AsyncIterator[Finding]:
    """As they come; the cheap ones first. What needs a token waits for the token."""
    try:
        settings = settings_from(config)
    except SettingsInvalid as invalid:
        for problem in invalid.problems:
            yield _refused(problem)
        return
    come_to = [*derived(settings), *sizing_findings(settings)]
    for finding in come_to:
        yield finding
    yield await _fleet(settings)
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(credential_of(settings))
        tokens = await asyncio.gather(*(_token(credential, scope) for scope in _scopes(settings)))
        for finding in tokens:
            yield finding
        flows = settings.flow_specs()
        called = await asyncio.gather(*(probe_flow(name, flows, credential) for name in dict.fromkeys(probe_flows)))
        for finding in called:
            yield finding
        if settings.servicebus.namespace and tokens[0].verdict is Verdict.FAILED:
            return
        bus = await stack.enter_async_context(Bus(bus_options(settings, credential)))
        reached = await asyncio.gather(*_probes(settings, bus, round_trip=round_trip))
        for finding in reached:
            yield finding
    if round_trip and all(finding.verdict is not Verdict.FAILED for finding in (*come_to, *tokens, *reached)):
        yield await _round_trip(settings)


def derived(settings: Settings) -> list[Finding]:
    """What the numbers come to."""
    worker, bus = settings.worker, settings.servicebus
    flows = list(settings.flow_specs().values())
    slowest = max(flows, key=longest_call_s)
    longest_s = longest_call_s(slowest)
    processes = shared_out(settings)
    receivers = sum(len(lane_sources(each)) for each in processes)
    found = [
        ok("credit", f"{worker.concurrency} requests locked at most, over {receivers} receivers"),
        ok(
            "lock time",
            f"{longest_s:.0f} s at worst (flow {slowest.name}: {slowest.retry.attempts} attempts of "
            f"{slowest.timeout_s:g} s and their pauses); the {bus.lock_s:g} s lock is renewed about "
            f"{math.ceil(longest_s / (bus.lock_s / 2))} times",
        ),
        ok("drain", f"{worker.drain_s:g} s, below the platform's grace of {worker.grace_s:g} s"),
    ]
    if len(flows) > 1:
        found.append(_slots(processes[-1]))  # the least share of all
    for flow in flows:
        if flow.timeout_s > worker.drain_s:
            cut = f"an attempt of flow {flow.name} may take {flow.timeout_s:g} s and is cut when drain_s ends"
            found.append(hint("drain", f"{cut}; raise drain_s and grace_s if that matters"))
        if flow.timeout_s > PLATFORM_ANSWERS_WITHIN_S:
            found.append(
                hint("time-out", f"flow {flow.name} waits {flow.timeout_s:g} s, but Power Automate gives up at 120 s")
            )
    if worker.grace_s - worker.drain_s < CLOSING_S:
        left = f"grace_s leaves {worker.grace_s - worker.drain_s:g} s after drain_s"
        found.append(
            hint(
                "grace",
                f"{left}, and closing the links may take up to {CLOSING_S:g} s; raise grace_s, or lower drain_s",
            )
        )
    if bus.max_delivery_count < 3:
        found.append(
            hint("deliveries", "callers hear of a failing worker from the third delivery on; allow at least 3")
        )
    if not bus.reply_queues:
        found.append(hint("replies", "reply_queues is empty, so every request with a return address is dead-lettered"))
    return found


def _slots(settings: Settings) -> Finding:
    bulkhead, concurrency, flows = bulkhead_of(settings), settings.worker.concurrency, list(settings.flow_specs())
    processes = settings.worker.processes
    if redelivery_queue(settings) is None:
        remedy = "set servicebus.retry_queue"
        if settings.servicebus.request_sessions:
            remedy = "raise worker.concurrency above the sum of the flows' concurrency"
        unkept = (
            "no slots are kept for any flow, because what finds none has no queue to go back to: one that hangs may"
        )
        return hint("slots", f"{unkept} take all {concurrency}; {remedy}")
    if bulkhead.kept == 0:
        few = f"{concurrency} slots are too few to keep any for each of {len(flows)} flows: one that hangs may take all"
        return hint("slots", f"{few}; raise worker.concurrency to {2 * len(flows) * processes} at least")
    most = f"a flow may hold {bulkhead.most(flows[0])} of {concurrency}{' in each process' if processes > 1 else ''}"
    return ok("slots", f"{most}; {bulkhead.kept} are kept for each of the {len(flows)}")


async def _fleet(settings: Settings) -> Finding:
    fleet = fleet_of(settings)
    if fleet.name is not None:
        await fleet.count()
    if fleet.failure is not None:
        return hint("fleet", f"{fleet.failure} Until it can, limits are shared by {fleet.workers} (worker.replicas)")
    return ok("fleet", f"each flow's concurrency and rate_per_s are shared by {fleet.workers} workers")


def longest_call_s(flow: FlowSpec) -> float:
    """Every attempt to its end, every pause at its longest."""
    retry = flow.retry
    pauses_s = (min(retry.max_s, retry.first_s * 2.0 ** min(number, 60)) for number in range(retry.attempts - 1))
    return retry.attempts * flow.timeout_s + sum(pauses_s)


def _scopes(settings: Settings) -> list[str]:
    bus = [BUS_SCOPE] if settings.servicebus.namespace else []
    flows = [flow.scope for flow in settings.flow_specs().values() if flow.auth == "identity"]
    return list(dict.fromkeys(bus + flows))


async def _token(credential: Credential, scope: str) -> Finding:
    name = f"token for {scope}"
    try:
        token = await credential.get_token(scope)
    except NoToken as missing:
        return failed(name, str(missing))
    return ok(name, f"valid for {(token.expires_on - time.time()) / 3600:.1f} h")


def _probes(settings: Settings, bus: Bus, *, round_trip: bool) -> list[Coroutine[Any, Any, Finding]]:
    names = settings.servicebus
    sources = dict.fromkeys(lane_sources(settings))
    copies_to = redelivery_queue(settings)
    return [
        *(_link(probe.request_source(bus, source, has_sessions=names.request_sessions)) for source in sources),
        *(_link(probe.sender_link(bus, queue, "send replies")) for queue in names.reply_queues),
        *(_session(bus, queue, is_needed=round_trip) for queue in names.reply_queues),
        *(_link(probe.sender_link(bus, queue, "send requests for later")) for queue in [copies_to] if queue),
    ]


async def _link(probing: Coroutine[Any, Any, probe.Finding]) -> Finding:
    seen = await probing
    return Finding(name=seen.name, verdict=Verdict.OK if seen.ok else Verdict.FAILED, detail=seen.detail)


async def _session(bus: Bus, queue: str, *, is_needed: bool) -> Finding:
    """The worker itself never listens on a reply queue; its callers do, perhaps with other credentials."""
    seen = await _link(probe.reply_session(bus, queue))
    if seen.verdict is Verdict.OK or is_needed or "not allowed" not in seen.detail:
        return seen
    return replace(seen, verdict=Verdict.HINT, detail="not allowed to listen here; only callers need to")


async def _round_trip(settings: Settings) -> Finding:
    """A worker with one slot, here, beside any others; whoever gets the request answers `expired` and calls no flow."""
    name = "round trip"
    here = settings.model_copy(
        update={
            "worker": settings.worker.model_copy(update={"concurrency": 1}),
            "http": settings.http.model_copy(update={"host": "127.0.0.1", "port": 0}),
        }
    )
    stop = Stop()
    async with assembled(here, observe=_unseen) as worker, requester_of(settings) as requester:
        draining = asyncio.create_task(drained(worker, stop, drain_s=settings.worker.drain_s))
        started = time.perf_counter()
        try:
            reply = await requester.request(
                b"{}",
                flow=next(iter(settings.flow_specs())),
                session_id=str(uuid.uuid4()) if settings.servicebus.request_sessions else None,
                properties={FIRST_ENQUEUED: int(time.time() * 1000) - TOO_LATE_MS},
                timeout_s=ROUND_TRIP_S,
            )
        except (NoReply, BusRefused) as missing:
            detail = f"{missing} Check that a worker runs, and the rights to send requests and to listen for replies."
            return failed(name, detail)
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
            stop.request()
            await draining
    if reply.outcome is not Outcome.EXPIRED:
        detail = f"expected the answer expired, got {reply.outcome.value} ({reply.reason}); correct the routes"
        return failed(name, detail)
    return ok(name, f"one request sent and answered in {elapsed_ms:.0f} ms")


def _unseen(_observed: Observed) -> None:
    pass


def _refused(problem: Problem) -> Finding:
    return failed(problem.key, str(problem).removeprefix(f"{problem.key}: "))
