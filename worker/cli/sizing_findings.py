"""What the numbers of the settings come to: requests a second, pods, memory."""

from collections.abc import Iterator, Sequence
from typing import Final

from worker.app import bulkhead_of
from worker.cli.finding import Finding, hint, ok
from worker.cli.listing import some_of
from worker.core import sizing
from worker.core.sizing import Bound, FlowLimits
from worker.settings import Settings

FLOWS_S: Final = (0.2, 1.0, 10.0)
SLOTS_FOR_A_CALL: Final = 2  # one that calls, one that waits for its turn or pauses before another try
FAR_ABOVE: Final = 2 * SLOTS_FOR_A_CALL
_BOUND_BY: Final = {
    Bound.SLOTS: "worker.concurrency",
    Bound.FLOWS: "the flows' limits",
    Bound.CPU: "its CPU",
}


def sizing_findings(settings: Settings) -> Iterator[Finding]:
    concurrency, processes = settings.worker.concurrency, settings.worker.processes
    sharing = settings.worker.replicas * processes
    specs = settings.flow_specs().values()
    flows = [FlowLimits(concurrency=flow.concurrency, rate_per_s=flow.rate_per_s) for flow in specs]
    yield _throughput(concurrency, [flow.share(processes, of=sharing) for flow in flows], processes)
    yield _keda(concurrency, flows, processes)
    yield _memory(concurrency, max(flow.max_response_bytes for flow in specs))
    yield from _contradictions(settings, processes)


def _throughput(concurrency: int, shares: Sequence[FlowLimits], processes: int) -> Finding:
    told, facts = [], []
    for flow_s in FLOWS_S:
        most = sizing.throughput(concurrency=concurrency, flows=shares, flow_s=flow_s, processes=processes)
        told.append(f"{flow_s:g} s: {_number(most.per_s)} ({_BOUND_BY[most.bound]})")
        facts.append({"flow_s": flow_s, "per_s": most.per_s, "bound": most.bound})
    namespace = f"a Standard namespace takes {_number(sizing.standard_per_s())} for all workers together"
    detail = f"requests/s at most, and what bounds them, where a flow takes {', '.join(told)}; {namespace}"
    return ok("throughput", detail, at_most=facts, standard_namespace_per_s=sizing.standard_per_s())


def _keda(concurrency: int, flows: Sequence[FlowLimits], processes: int) -> Finding:
    told, facts = [], []
    for flow_s in FLOWS_S:
        free = sizing.throughput(concurrency=concurrency, flows=None, flow_s=flow_s, processes=processes).per_s
        count = sizing.message_count(pod_per_s=min(free, sizing.flows_per_s(flows, flow_s)), flow_s=flow_s)
        pods = sizing.most_pods(flows, pod_per_s=free, flow_s=flow_s, processes=processes)
        told.append(f"{flow_s:g} s: {count} and {pods}")
        facts.append({"flow_s": flow_s, "message_count": count, "max_replica_count": pods})
    why = f"a pod busy to {sizing.BUSY:.0%}, and no more pods than the flows' limits keep busy"
    return ok("keda", f"messageCount and maxReplicaCount where a flow takes {', '.join(told)} ({why})", values=facts)


def _memory(concurrency: int, max_response_bytes: int) -> Finding:
    least = concurrency * sizing.BYTES_PER_REQUEST
    most = sizing.memory_bytes(concurrency=concurrency, max_response_bytes=max_response_bytes)
    largest = f"the largest message of {_size(sizing.STANDARD_MESSAGE_BYTES)} and answer of {_size(max_response_bytes)}"
    in_flight = f"{concurrency} requests in flight take {_size(least)} beside their bodies"
    detail = f"{in_flight}, {_size(most)} at worst: with {largest} in each"
    return ok("memory", detail, without_bodies_bytes=least, at_worst_bytes=most)


def _number(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.2g}"


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


def _contradictions(settings: Settings, processes: int) -> Iterator[Finding]:
    concurrency, workers = settings.worker.concurrency, settings.worker.replicas
    flows = settings.flow_specs()
    shares = {
        name: FlowLimits(concurrency=flow.concurrency).share(processes, of=workers * processes).concurrency
        for name, flow in flows.items()
    }
    calls = sum(shares.values())
    if concurrency > FAR_ABOVE * calls:
        waiting = f"worker.concurrency is {concurrency}, but this worker's share of the flows' concurrency is {calls}"
        remedy = f"lower it to {SLOTS_FOR_A_CALL * calls}, or raise the flows' concurrency"
        yield hint("throughput", f"{waiting}: what waits here is locked, and no other worker can take it; {remedy}")
    few = {name: flow.concurrency for name, flow in flows.items() if flow.concurrency < workers}
    if few:
        taken = some_of([f"flow {name} takes {calls} calls at once" for name, calls in few.items()])
        remedy = f"set worker.replicas to {min(few.values())}, or raise the flow's concurrency"
        yield hint("throughput", f"{taken}, but each of {workers} workers may make one; {remedy}")
    places = bulkhead_of(settings)
    unreached = [name for name in _chosen(settings) if shares[name] > places.most(name)]
    if unreached and settings.worker.replicas_dns is None:
        wanted = some_of([f"flow {name} may be called {flows[name].concurrency} times at once" for name in unreached])
        slots = f"{workers} workers" if workers > 1 else "the worker"
        most = min(workers * places.most(name) for name in unreached)
        there = f"{slots} of {concurrency} slots can make {most} calls of {'it' if len(unreached) == 1 else 'each'}"
        remedy = "raise worker.concurrency or worker.replicas, or lower the flow's concurrency"
        yield hint("throughput", f"{wanted}, but {there}; {remedy}")


def _chosen(settings: Settings) -> Iterator[str]:
    """Flows whose concurrency somebody wrote down; a default contradicts nothing."""
    return (flow.called for flow in settings.flows if "concurrency" in flow.model_fields_set)
