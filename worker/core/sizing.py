"""What the numbers of a configuration come to, by Little's law: in flight = a second * seconds each.

Bounds, not promises: a flow's time is taken as given, and what broker and network add to it as nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Measured (README, "How fast").
CPU_S_PER_REQUEST: Final = 0.001
BYTES_PER_REQUEST: Final = 27_000  # in flight, without its bodies

# Azure's. A bridged request is sent and received, and so is its reply.
OPERATIONS_PER_REQUEST: Final = 4
STANDARD_OPERATIONS_PER_S: Final = 1000
STANDARD_MESSAGE_BYTES: Final = 256 * 1024
PREMIUM_BYTES_PER_S: Final = 4_000_000  # for each messaging unit, each way

# Chosen. A queue where everybody is busy all the time has no end: some of a worker's time is kept free.
BUSY: Final = 0.7
TOLERATED_WAIT_S: Final = 1.0


class Bound(StrEnum):
    """What holds a worker back first."""

    SLOTS = "slots"
    FLOWS = "flows"
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """What one flow takes, of one worker or of all of them."""

    concurrency: int
    rate_per_s: float = 0.0  # 0: no cap

    def share(self, processes: int, *, of: int) -> "FlowLimits":
        """What so many processes have of it, of all that share it. Each may make one call at least."""
        return FlowLimits(
            concurrency=processes * max(1, self.concurrency // of), rate_per_s=self.rate_per_s * processes / of
        )

    def per_s(self, flow_s: float) -> float:
        at_once = self.concurrency / flow_s
        return min(at_once, self.rate_per_s) if self.rate_per_s else at_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Requests a second at most."""

    per_s: float
    bound: Bound


def throughput(
    *, concurrency: int, flows: Iterable[FlowLimits] | None, flow_s: float, processes: int = 1
) -> Throughput:
    """Of one worker, where each call takes `flow_s`. `flows`: its share of them; None: flows that take anything.

    `concurrency`: the worker's, over all its processes, of which each has a core.
    """
    limits = {
        Bound.SLOTS: concurrency / flow_s,
        Bound.FLOWS: math.inf if flows is None else flows_per_s(flows, flow_s),
        Bound.CPU: processes / CPU_S_PER_REQUEST,
    }
    bound = min(limits, key=limits.__getitem__)
    return Throughput(per_s=limits[bound], bound=bound)


def flows_per_s(flows: Iterable[FlowLimits], flow_s: float) -> float:
    """All of them, each as busy as it may be."""
    return sum(flow.per_s(flow_s) for flow in flows)


def standard_per_s() -> float:
    """Bridged requests a second through one namespace of the Standard tier, whoever works."""
    return STANDARD_OPERATIONS_PER_S / OPERATIONS_PER_REQUEST


def premium_per_s(*, request_bytes: float, reply_bytes: float) -> float:
    """Bridged requests a second through one messaging unit: both go in, and both come out."""
    return PREMIUM_BYTES_PER_S / (request_bytes + reply_bytes)


def pods_for(per_s: float, *, pod_per_s: float) -> int:
    """No more than BUSY at such a rate."""
    return max(1, math.ceil(per_s / (BUSY * pod_per_s)))


def most_pods(flows: Iterable[FlowLimits], *, pod_per_s: float, flow_s: float, processes: int = 1) -> int:
    """KEDA's maxReplicaCount. `flows`: whole; `pod_per_s`: what a pod with no flow's limits does.

    More would only share out the same calls; and more processes than a flow's `concurrency` make more than it takes.
    """
    flows = list(flows)
    useful = pods_for(flows_per_s(flows, flow_s), pod_per_s=pod_per_s)
    return max(1, min(useful, *(flow.concurrency // processes for flow in flows)))


def message_count(*, pod_per_s: float, flow_s: float, wait_s: float = TOLERATED_WAIT_S) -> int:
    """KEDA's messageCount: what is in the queue for one BUSY pod, where each request waits `wait_s` and runs `flow_s`.

    What runs is still in the queue, locked, and taken to be counted: a target below what a pod holds adds pods for work
    that one pod does. Where only what waits is counted, it is a target of a somewhat longer wait.
    """
    return max(1, math.floor(BUSY * pod_per_s * (wait_s + flow_s)))


def memory_bytes(*, concurrency: int, max_response_bytes: int, message_bytes: int = STANDARD_MESSAGE_BYTES) -> int:
    """Of requests in flight at worst: every slot holds the largest message and the largest answer."""
    return concurrency * (BYTES_PER_REQUEST + message_bytes + max_response_bytes)
