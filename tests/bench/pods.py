"""How many pods, and when KEDA should add one: in virtual time, so it's the same on any machine. Takes 40 seconds.

(a) So many pods, at 50, 80 and 95 % of what they can do: what gets done, and how long requests wait for a core.
(b) The same simulation beside what queueing theory says, and beside what was measured of one pod (README, "How fast").
(c) A burst of ten minutes, and a day in an hour, under KEDA and the HPA: for different messageCount.
(d) What a million requests cost.

Assumed, not measured: what the network adds, how flows' times are spread, how long a pod takes to start, all prices.
--svg FILE draws throughput and waiting over the number of pods, and the burst.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from worker.core import sizing

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import curves, rig
from bench.curves import Curve, Panel
from bench.queueing import (
    Autoscaler,
    Cluster,
    FlowTime,
    PodShape,
    Rate,
    ScalingSpec,
    Tally,
    always,
    erlang_c,
    exponential,
    lognormal,
    wait_of_core_s,
    wait_of_servers_s,
)

SPREAD: Final = 0.5  # sigma of a flow's time: the slowest twentieth takes twice as long as the mean, or longer
FEW_KB: Final = 3 * 1024  # of a request, and of its reply
TIMEOUT_S: Final = 110.0  # of a caller


def fixed(
    pods: int, shape: PodShape, flow_time: FlowTime, per_s: float, *, requests: int, warm_s: float = 2.0, seed: int = 1
) -> Tally:
    """So many pods, and arrivals at one rate; of `requests` of them, after the first `warm_s`."""
    cluster = Cluster(shape, flow_time, lambda _now: per_s, peak_per_s=per_s, since=warm_s, seed=seed)
    cluster.scale(pods, start_s=0.0)
    cluster.run(warm_s + requests / per_s)
    return cluster.close_books()


# (a) Fixed pods

PODS: Final = (1, 2, 5, 10, 20, 50)
LOADS: Final = (0.5, 0.8, 0.95)
FLOWS_S: Final = (0.2, 1.0)  # of which the first is bound by the core, the second by the slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    flow_s: float
    pods: int
    load: float
    offered_per_s: float
    done_per_s: float
    wait_p50_s: float
    wait_p99_s: float


def fixed_pods(shape: PodShape, flow_s: float) -> Iterator[Fixed]:
    requests = 20_000
    for pods in PODS:
        for load in LOADS:
            per_s = load * pods * shape.per_s(flow_s)
            warm_s = max(2.0, 6 * (flow_s + shape.network_s))
            tally = fixed(pods, shape, lognormal(flow_s, SPREAD), per_s, requests=requests, warm_s=warm_s)
            yield Fixed(
                flow_s=flow_s,
                pods=pods,
                load=load,
                offered_per_s=per_s,
                done_per_s=tally.ended / (requests / per_s),
                wait_p50_s=rig.quantile(tally.waits_s, 0.5),
                wait_p99_s=rig.quantile(tally.waits_s, 0.99),
            )


def namespace_for(per_s: float) -> str:
    if per_s <= sizing.standard_per_s():
        return "Standard"
    return f"Premium, {units_for(per_s)} MU"


def units_for(per_s: float) -> int:
    return math.ceil(per_s / sizing.premium_per_s(request_bytes=FEW_KB, reply_bytes=FEW_KB))


def fixed_rows(cells: Iterable[Fixed]) -> Iterator[list[str]]:
    for cell in cells:
        yield [
            f"{cell.flow_s:g} s",
            str(cell.pods),
            f"{cell.load:.0%}",
            f"{cell.offered_per_s:,.0f}",
            f"{cell.done_per_s:,.0f}",
            ms(cell.wait_p50_s),
            ms(cell.wait_p99_s),
            namespace_for(cell.offered_per_s),
        ]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"


# (b) Beside theory and measurement

SEEDS: Final = 3
SERVERS: Final = 20  # slots of a pod there: few enough to be waited for


def beside(name: str, theory_s: float, shape: PodShape, flow_time: FlowTime, per_s: float, *, pods: int) -> list[str]:
    means_s = [
        statistics.fmean(fixed(pods, shape, flow_time, per_s, requests=40_000, warm_s=20.0, seed=seed).waits_s)
        for seed in range(SEEDS)
    ]
    mean_s = statistics.fmean(means_s)
    error_s = statistics.stdev(means_s) / math.sqrt(SEEDS)
    return [name, ms(theory_s), f"{ms(mean_s)} ± {ms(error_s)}", f"{mean_s / theory_s - 1:+.1%}"]


def theory_rows(cpu_s: float) -> Iterator[list[str]]:
    """Of a core alone (M/D/1), and of slots alone (M/M/c, and M/G/c as Allen and Cunneen approach it)."""
    core = PodShape(slots=1_000_000, cpu_s=cpu_s)
    for load in LOADS:
        theory_s = wait_of_core_s(load, served_s=cpu_s)
        yield beside(f"core, {load:.0%}, M/D/1", theory_s, core, always(0.0), load / cpu_s, pods=1)
    slots = PodShape(slots=SERVERS, cpu_s=0.0)
    for pods, load in ((1, 0.8), (1, 0.9), (5, 0.9)):
        servers = pods * SERVERS
        offered = load * servers
        name = f"{servers} slots in {pods}, {load:.0%}"
        theory_s = wait_of_servers_s(servers, offered, served_s=1.0)
        waiting = f", M/M/c ({erlang_c(servers, offered):.0%} wait)"
        yield beside(name + waiting, theory_s, slots, exponential(1.0), offered, pods=pods)
    variation = math.sqrt(math.exp(SPREAD**2) - 1)
    theory_s = wait_of_servers_s(SERVERS, 0.9 * SERVERS, served_s=1.0, variation=variation)
    name = f"{SERVERS} slots in 1, 90%, M/G/c (approximate)"
    yield beside(name, theory_s, slots, lognormal(1.0, SPREAD), 0.9 * SERVERS, pods=1)


def measured_rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """The p50 gives what broker and network add, so it proves nothing; the p99 and the backlog do."""
    cpu_s = options.cpu_ms / 1000
    shape = PodShape(slots=options.concurrency, cpu_s=cpu_s)
    spans_s = fixed(1, shape, always(0.0), 200.0, requests=50_000).spans_s
    rest_s = options.measured_p50_ms / 1000 - rig.quantile(spans_s, 0.5)
    p99_ms = 1000 * (rig.quantile(spans_s, 0.99) + rest_s)
    backlog_per_s = shape.per_s(0.0)
    for name, measured, simulated in (
        ("a waiting caller's p99, ms at 200/s", options.measured_p99_ms, p99_ms),
        ("a backlog, requests/s", options.measured_backlog, backlog_per_s),
    ):
        yield [name, f"{measured:,.1f}", f"{simulated:,.1f}", f"{simulated / measured - 1:+.1%}"]
    yield ["broker and network, ms (from the p50)", "", ms(rest_s), ""]


# (c) Scaled by KEDA

CALM_PER_S: Final = 25.0
BURST_PER_S: Final = 200.0
BURST_AT_S: Final = 300.0
BURST_ENDS_AT_S: Final = 900.0
WHOLE_S: Final = 1500.0
DAY_S: Final = 3600.0
SLOW_S: Final = 10.0  # a flow's time there
WAITED_LONG_S: Final = 1.0
LOOK_S: Final = 2.0


def burst(now: float) -> float:
    return BURST_PER_S if BURST_AT_S <= now < BURST_ENDS_AT_S else CALM_PER_S


def day(now: float) -> float:
    """From a tenth of the peak and back."""
    return BURST_PER_S * (0.55 - 0.45 * math.cos(2 * math.pi * now / DAY_S))


@dataclass(slots=True, kw_only=True)
class Scaled:
    spec: ScalingSpec
    waiting: list[int] = field(default_factory=list)  # every LOOK_S
    pods: list[int] = field(default_factory=list)  # those still starting, too
    long_wait_at: float = 0.0  # the last one
    tally: Tally = field(default_factory=lambda: Tally(since=0.0))


def scaled(shape: PodShape, rate: Rate, spec: ScalingSpec, *, lasts_s: float) -> Scaled:
    cluster = Cluster(shape, lognormal(SLOW_S, SPREAD), rate, peak_per_s=BURST_PER_S)
    Autoscaler(cluster, spec)
    seen = Scaled(spec=spec)

    def look() -> None:
        seen.waiting.append(len(cluster.waiting))
        seen.pods.append(len(cluster.pods))
        if cluster.oldest_wait_s > WAITED_LONG_S:
            seen.long_wait_at = cluster.now

    cluster.every(LOOK_S, look)
    cluster.run(lasts_s)
    seen.tally = cluster.close_books()
    return seen


def slow_shape(options: argparse.Namespace) -> PodShape:
    fastest_decile_s = SLOW_S * math.exp(-(SPREAD**2) / 2 - 1.28 * SPREAD)
    return PodShape(
        slots=options.concurrency,
        cpu_s=options.cpu_ms / 1000,
        network_s=options.network_ms / 1000,
        timeout_s=TIMEOUT_S,
        least_flow_s=fastest_decile_s,
    )


def recommended(shape: PodShape, *, peak_per_s: float = BURST_PER_S) -> ScalingSpec:
    pod_per_s = shape.per_s(SLOW_S)
    return ScalingSpec(
        message_count=sizing.message_count(pod_per_s=pod_per_s, flow_s=SLOW_S),
        least_pods=max(2, sizing.pods_for(CALM_PER_S, pod_per_s=pod_per_s)),
        most_pods=sizing.pods_for(peak_per_s, pod_per_s=pod_per_s),
    )


def specs(shape: PodShape) -> Iterator[tuple[str, ScalingSpec]]:
    """KEDA's own number, smaller and greater ones than ours, a minute's work; then how a slow start changes ours."""
    ours = recommended(shape)
    a_minute = round(60 * shape.per_s(SLOW_S))
    for message_count in (5, ours.message_count // 3, ours.message_count, 2 * ours.message_count, a_minute):
        yield "", replace(ours, message_count=message_count)
    yield "locked not counted", replace(ours, counts_locked=False)
    yield "pods start in 2 min", replace(ours, pod_start_s=120.0)
    enough = sizing.pods_for(BURST_PER_S / 2, pod_per_s=shape.per_s(SLOW_S))
    yield f"… {enough} pods at least", replace(ours, pod_start_s=120.0, least_pods=enough)


BURST_HEAD: Final = (
    "", "messageCount", "pods", "in order after s", "longest wait s", "expired", "cut", "of requests", "pod-hours"
)  # fmt: skip


def burst_rows(shape: PodShape) -> Iterator[list[str]]:
    for name, spec in specs(shape):
        seen = scaled(shape, burst, spec, lasts_s=WHOLE_S)
        yield [name, str(spec.message_count), *scaled_cells(seen, began_s=BURST_AT_S)]


def day_rows(shape: PodShape) -> Iterator[list[str]]:
    ours = recommended(shape)
    for name, message_count in (("KEDA's default", 5), ("recommended", ours.message_count)):
        seen = scaled(shape, day, replace(ours, message_count=message_count), lasts_s=DAY_S)
        yield [name, str(message_count), *scaled_cells(seen, began_s=0.0)]


def scaled_cells(seen: Scaled, *, began_s: float) -> list[str]:
    tally = seen.tally
    return [
        f"{min(seen.pods)} to {max(seen.pods)}",
        f"{max(0.0, seen.long_wait_at - began_s):,.0f}",
        f"{max(tally.waits_s):.1f}",
        f"{tally.expired:,}",
        f"{tally.cut:,}",
        f"{len(tally.waits_s):,}",
        f"{tally.pod_s / 3600:.1f}",
    ]


# (d) Cost

RATES_PER_S: Final = (10.0, 50.0, 250.0, 1000.0, 3000.0)


def cost_rows(options: argparse.Namespace) -> Iterator[list[str]]:
    pod_per_s = pod_shape(options).per_s(1.0)
    for per_s in RATES_PER_S:
        millions_per_hour = per_s * 3600 / 1e6
        pods = sizing.pods_for(per_s, pod_per_s=pod_per_s)
        premium = units_for(per_s) * options.premium_hour / millions_per_hour
        standard = sizing.OPERATIONS_PER_REQUEST * options.standard_million
        yield [
            f"{per_s:,.0f}/s",
            str(pods),
            f"{pods * options.vcpu_hour / millions_per_hour:.2f}",
            f"{standard:.2f}" if per_s <= sizing.standard_per_s() else "too slow",
            str(units_for(per_s)),
            f"{premium:.2f}",
        ]


# The picture

LEAST_WAIT_S: Final = 0.0001


def drawn(cells: Sequence[Fixed], seen: Scaled) -> str:
    """SVG: for the first flow of `cells` what is done and how long it waits, and the burst."""
    at_loads = {
        load: [cell for cell in cells if cell.load == load and cell.flow_s == cells[0].flow_s] for load in LOADS
    }
    inks = dict(zip(LOADS, (curves.GREEN, curves.BLUE, curves.AMBER), strict=True))
    done = [
        Curve(name=f"{load:.0%}", ink=inks[load], values=[logarithm(each.done_per_s, 100, 1e5) for each in at_load])
        for load, at_load in at_loads.items()
    ]
    waits = [
        Curve(
            name=f"{load:.0%}",
            ink=inks[load],
            values=[logarithm(each.wait_p99_s, LEAST_WAIT_S, 1.0) for each in at_load],
        )
        for load, at_load in at_loads.items()
    ]
    arrivals = [burst(LOOK_S * look) for look in range(1, len(seen.waiting) + 1)]
    course = [
        _of_most("arrivals", "/s", curves.GREEN, arrivals),
        _of_most("pods", "", curves.BLUE, seen.pods),
        _of_most("waiting", "", curves.AMBER, seen.waiting),
    ]
    of_pods = [f"{pods} pods" if pods > 1 else "1 pod" for pods in PODS]
    minutes = [f"{minute} min" for minute in range(0, round(WHOLE_S / 60) + 1, 5)]
    return curves.drawn(
        "Throughput grows with the pods, waits shrink; KEDA follows a burst",
        Panel(title="Requests a second, busy to", curves=done, ticks=of_pods, least="100", most="100,000"),
        Panel(title="p99 wait in the queue, busy to", curves=waits, ticks=of_pods, least="0.1 ms", most="1 s"),
        Panel(title="A burst under KEDA", curves=course, ticks=minutes, least="0", most="most"),
    )


def _of_most(name: str, unit: str, ink: str, values: Sequence[float]) -> Curve:
    most = max(values) or 1.0
    return Curve(name=f"{name} (at most {most:,.0f}{unit})", ink=ink, values=[value / most for value in values])


def logarithm(value: float, low: float, high: float) -> float:
    """From 0 to 1."""
    return math.log(min(max(value, low), high) / low) / math.log(high / low)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, metavar="FILE")
    parser.add_argument("--concurrency", type=int, default=200, help="slots of a pod")
    parser.add_argument("--cpu-ms", type=float, default=sizing.CPU_S_PER_REQUEST * 1000, help="of a request, measured")
    parser.add_argument("--network-ms", type=float, default=40.0, help="a slot is held that much longer, assumed")
    parser.add_argument("--measured-p50-ms", type=float, default=2.7, help="of a waiting caller at 200/s")
    parser.add_argument("--measured-p99-ms", type=float, default=4.7)
    parser.add_argument("--measured-backlog", type=float, default=1000.0, help="requests/s of one pod")
    parser.add_argument("--vcpu-hour", type=float, default=0.05, help="price of a pod's core, assumed")
    parser.add_argument("--standard-million", type=float, default=0.80, help="price of a million operations, assumed")
    parser.add_argument("--premium-hour", type=float, default=0.93, help="price of a messaging unit, assumed")
    return parser.parse_args()


def pod_shape(options: argparse.Namespace) -> PodShape:
    return PodShape(slots=options.concurrency, cpu_s=options.cpu_ms / 1000, network_s=options.network_ms / 1000)


def main(options: argparse.Namespace) -> None:
    shape, slow = pod_shape(options), slow_shape(options)
    rig.say("(a) Fixed pods\n")
    cells = [cell for flow_s in FLOWS_S for cell in fixed_pods(shape, flow_s)]
    head = ("flow", "pods", "busy", "offered/s", "done/s", "p50 wait ms", "p99 wait ms", "namespace")
    rig.say_table(head, *fixed_rows(cells))
    rig.say("\n(b) Mean wait in ms beside theory, and one pod beside what was measured\n")
    rig.say_table(("", "theory", "simulated", "deviation"), *theory_rows(shape.cpu_s))
    rig.say("")
    rig.say_table(("", "measured", "simulated", "deviation"), *measured_rows(options))
    callers = f"flows of {SLOW_S:g} s, callers of {TIMEOUT_S:g} s"
    rig.say(f"\n(c) A burst from {CALM_PER_S:g} to {BURST_PER_S:g}/s for ten minutes; {callers}\n")
    rig.say_table(BURST_HEAD, *burst_rows(slow))
    rig.say(f"\n    A day in an hour, up to {BURST_PER_S:g}/s; {callers}\n")
    rig.say_table(BURST_HEAD, *day_rows(slow))
    rig.say("\n(d) A million requests, flows of 1 s, at the prices of the options (assumed, without base charges)\n")
    rig.say_table(("", "pods", "cores", "Standard", "units", "Premium"), *cost_rows(options))
    if options.svg is not None:
        options.svg.write_text(drawn(cells, scaled(slow, burst, recommended(slow), lasts_s=WHOLE_S)), encoding="utf-8")


if __name__ == "__main__":
    main(parsed())
