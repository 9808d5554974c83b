"""What is worked on at once: locks, slots, connections, and this worker's share of what the flows take."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from worker.app import LEAST_LANES, bulkhead_of, fleet_of, lane_sources, redelivery_queue, windows_of
from worker.cli.finding import Finding, hint, ok
from worker.cli.listing import FLOWS_NAMED
from worker.core.flow_spec import FlowSpec
from worker.core.sizing import FlowLimits
from worker.settings import Settings
from worker.supervisor.brief import shared_out

CONNECTIONS_TAKEN: Final = 5000  # AMQP, by one namespace
REPLY_WRITERS: Final = 4  # for each reply queue, and one more where copies go


def limits(settings: Settings) -> Iterator[Finding]:
    yield _locked(settings)
    if len(settings.flows) > 1:
        yield _slots(settings)
    yield _connections(settings)


async def shares(settings: Settings) -> Finding:
    """Counts the fleet anew where it has a name to be counted by."""
    fleet = fleet_of(settings)
    if fleet.name is not None:
        await fleet.count()
    if fleet.failure is not None:
        return hint("fleet", f"{fleet.failure} Until it can, limits are shared by {fleet.workers} (worker.replicas)")
    flows = settings.flow_specs().values()
    processes = settings.worker.processes
    told = [_share(flow, processes, fleet.workers) for flow in list(flows)[:FLOWS_NAMED]]
    if len(flows) > FLOWS_NAMED:
        told.append(f"and so {len(flows) - FLOWS_NAMED} more flows")
    sharing = f"shared by {fleet.workers} workers" if fleet.workers > 1 else "this worker's alone"
    detail = f"each flow's concurrency and rate_per_s are {sharing}: {'; '.join(told)}"
    by_flow = {flow.name: _limits_of(flow).share(processes, of=fleet.workers) for flow in flows}
    return ok("fleet", detail, workers=fleet.workers, shares=by_flow)


def _limits_of(flow: FlowSpec) -> FlowLimits:
    return FlowLimits(concurrency=flow.concurrency, rate_per_s=flow.rate_per_s)


def _share(flow: FlowSpec, processes: int, workers: int) -> str:
    share = _limits_of(flow).share(processes, of=workers)
    rate = f" and {share.rate_per_s:g} a second" if share.rate_per_s else ""
    return f"{share.concurrency} calls of {flow.name} at once{rate}"


def _locked(settings: Settings) -> Finding:
    concurrency = settings.worker.concurrency
    processes = shared_out(settings)
    counted = Counter(source for each in processes for source in lane_sources(each))
    lanes = sum(counted.values())
    if settings.servicebus.request_sessions:
        detail = f"{concurrency} requests locked at most, one in each of {lanes} sessions; each is a lane"
        return ok("credit", detail, locked_at_most=concurrency, lanes=lanes)
    windows = windows_of(lane_sources(processes[0]), processes[0].worker.concurrency)
    calm = sum(min(LEAST_LANES, count) for each in processes for count in Counter(lane_sources(each)).values())
    asks = " and ".join(f"{window} at once from {source}" for source, window in windows.items())
    detail = f"{concurrency} requests locked at most, over {lanes} receivers ({calm} while it's calm), each for {asks}"
    named = {str(source): window for source, window in windows.items()}
    return ok("credit", detail, locked_at_most=concurrency, lanes=lanes, lanes_when_calm=calm, windows=named)


def _slots(settings: Settings) -> Finding:
    least = shared_out(settings)[-1]  # the least share of all
    bulkhead, concurrency, flows = bulkhead_of(least), least.worker.concurrency, list(least.flow_specs())
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
    most = bulkhead.most(flows[0])
    told = f"a flow may hold {most} of {concurrency}{' in each process' if processes > 1 else ''}"
    kept = f"{bulkhead.kept} {'is' if bulkhead.kept == 1 else 'are'} kept for each of the {len(flows)} flows"
    return ok("slots", f"{told}; {kept}", most=most, kept=bulkhead.kept)


def _connections(settings: Settings) -> Finding:
    bus, worker = settings.servicebus, settings.worker
    writers = REPLY_WRITERS * len(bus.reply_queues) + (redelivery_queue(settings) is not None)
    receivers = sum(len(lane_sources(each)) for each in shared_out(settings))
    here = receivers + worker.processes * writers
    fleet = here * worker.replicas
    told = f"{here} to the broker at most ({receivers} receivers, {here - receivers} senders)"
    facts: dict[str, Any] = {"receivers": receivers, "senders": here - receivers, "fleet": fleet}
    if fleet > CONNECTIONS_TAKEN:
        many = f"{told}, {fleet:,} by all workers, and a namespace takes {CONNECTIONS_TAKEN:,}"
        return hint("connections", f"{many}; lower worker.concurrency, worker.processes or worker.replicas", **facts)
    return ok("connections", f"{told}; a namespace takes {CONNECTIONS_TAKEN:,}", **facts)
