"""Pods that share a queue, in virtual time; KEDA and the HPA over them; and what queueing theory says of both.

A pod is one core, where requests are served one after the other, and slots: each holds one request from before the
core until its flow has answered and the broker has heard of it. The broker hands a request to any pod that has room, in
turn; a pod has room for as many as it has lanes before its core.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Any, Final, TypeAlias

LANES: Final = 8

FlowTime: TypeAlias = Callable[[Random], float]
Rate: TypeAlias = Callable[[float], float]


def always(seconds: float) -> FlowTime:
    return lambda _random: seconds


def exponential(mean_s: float) -> FlowTime:
    return lambda random: random.expovariate(1.0 / mean_s)


def lognormal(mean_s: float, sigma: float) -> FlowTime:
    mu = math.log(mean_s) - sigma**2 / 2
    return lambda random: random.lognormvariate(mu, sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    slots: int
    cpu_s: float
    network_s: float = 0.0  # broker round trips while a slot is held
    timeout_s: float = inf  # of a caller, from its request's arrival
    least_flow_s: float = 0.0  # whose caller has less time left than that is told so, and no flow is called

    def per_s(self, flow_s: float) -> float:
        """What one pod can do at most."""
        by_slots = self.slots / (self.cpu_s + flow_s + self.network_s)
        return min(by_slots, 1.0 / self.cpu_s) if self.cpu_s else by_slots


@dataclass(eq=False, slots=True, kw_only=True)
class Pod:
    began_at: float
    slots_free: int
    core_free_at: float = 0.0
    before_core: int = 0
    is_ready: bool = False
    is_leaving: bool = False
    is_listed: bool = False  # among those who have room

    @property
    def has_room(self) -> bool:
        return self.is_ready and self.slots_free > 0 and self.before_core < LANES and not self.is_leaving


@dataclass(slots=True, kw_only=True)
class Tally:
    """`waits_s`: from arrival to the core. `spans_s`: from arrival to the reply. Both of who arrived after `since`."""

    since: float
    waits_s: list[float] = field(default_factory=list)
    spans_s: list[float] = field(default_factory=list)
    ended: int = 0  # after `since`
    expired: int = 0  # never called
    cut: int = 0  # called, but their callers' time was over first
    pod_s: float = 0.0


class Cluster:
    """`rate` never exceeds `peak_per_s`."""

    def __init__(
        self, shape: PodShape, flow_time: FlowTime, rate: Rate, *, peak_per_s: float, since: float = 0.0, seed: int = 1
    ) -> None:
        self.now = 0.0
        self.tally = Tally(since=since)
        self.waiting: deque[float] = deque()  # when they arrived
        self.locked = 0
        self.pods: list[Pod] = []  # without those that leave
        self._shape, self._flow_time, self._rate, self._peak_per_s = shape, flow_time, rate, peak_per_s
        self._random = Random(seed)
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = count()
        self._roomy: deque[Pod] = deque()
        self._at(0.0, self._arrive)

    @property
    def oldest_wait_s(self) -> float:
        return self.now - self.waiting[0] if self.waiting else 0.0

    def run(self, until: float) -> None:
        while self._due[0][0] < until:
            self.now, _, act, given = heapq.heappop(self._due)
            act(*given)
        self.now = until

    def close_books(self) -> Tally:
        """Pods that are still there have cost until now."""
        self.tally.pod_s += sum(self.now - pod.began_at for pod in self.pods)
        return self.tally

    def every(self, period_s: float, act: Callable[[], None]) -> None:
        def again() -> None:
            act()
            self._at(self.now + period_s, again)

        self._at(self.now + period_s, again)

    def scale(self, pods: int, *, start_s: float) -> None:
        """To so many, of which new ones are ready after `start_s`. Who leaves is anybody, but those not ready first."""
        while len(self.pods) < pods:
            pod = Pod(began_at=self.now, slots_free=self._shape.slots)
            self.pods.append(pod)
            self._at(self.now + start_s, self._ready, pod)
        while len(self.pods) > pods:
            starting = [pod for pod in self.pods if not pod.is_ready]
            leaving = self._random.choice(starting or self.pods)
            self.pods.remove(leaving)
            leaving.is_leaving = True
            self._gone_if_empty(leaving)

    def _at(self, at: float, act: Callable[..., None], *given: Any) -> None:
        heapq.heappush(self._due, (at, next(self._serial), act, given))

    def _arrive(self) -> None:
        """Or not: of the peak's arrivals the share that the rate is of the peak is real."""
        if self._random.random() * self._peak_per_s < self._rate(self.now):
            self.waiting.append(self.now)
            self._hand_out()
        self._at(self.now + self._random.expovariate(self._peak_per_s), self._arrive)

    def _hand_out(self) -> None:
        while self.waiting and self._roomy:
            pod = self._roomy.popleft()
            pod.is_listed = False
            if pod.has_room:
                self._take(pod)
                self._list(pod)

    def _list(self, pod: Pod) -> None:
        if pod.has_room and not pod.is_listed:
            pod.is_listed = True
            self._roomy.append(pod)

    def _take(self, pod: Pod) -> None:
        arrived_at = self.waiting.popleft()
        pod.slots_free -= 1
        pod.before_core += 1
        self.locked += 1
        begins_at = max(self.now, pod.core_free_at)
        pod.core_free_at = begins_at + self._shape.cpu_s
        if arrived_at >= self.tally.since:
            self.tally.waits_s.append(begins_at - arrived_at)
        self._at(pod.core_free_at, self._served, pod, arrived_at)

    def _served(self, pod: Pod, arrived_at: float) -> None:
        pod.before_core -= 1
        left_s = arrived_at + self._shape.timeout_s - self.now
        if left_s < self._shape.least_flow_s:
            self.tally.expired += 1
            flow_s = 0.0
        else:
            flow_s = self._flow_time(self._random)
            self.tally.cut += flow_s > left_s
        self._at(self.now + min(flow_s, max(0.0, left_s)) + self._shape.network_s, self._end, pod, arrived_at)
        self._list(pod)
        self._hand_out()

    def _end(self, pod: Pod, arrived_at: float) -> None:
        pod.slots_free += 1
        self.locked -= 1
        self.tally.ended += self.now >= self.tally.since
        if arrived_at >= self.tally.since:
            self.tally.spans_s.append(self.now - arrived_at)
        self._gone_if_empty(pod)
        self._list(pod)
        self._hand_out()

    def _ready(self, pod: Pod) -> None:
        pod.is_ready = True
        self._list(pod)
        self._hand_out()

    def _gone_if_empty(self, pod: Pod) -> None:
        if pod.is_leaving and pod.slots_free == self._shape.slots:
            self.tally.pod_s += self.now - pod.began_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """KEDA's azure-servicebus trigger with cached metrics, and the HPA's defaults behind it."""

    message_count: int
    counts_locked: bool = True  # whether the queue's active count has those that a pod holds
    least_pods: int = 1
    most_pods: int = 50
    pod_start_s: float = 30.0
    polling_s: float = 30.0
    sync_s: float = 15.0
    tolerance: float = 0.1
    stabilisation_s: float = 300.0  # before pods go
    cooldown_s: float = 300.0  # before the last one goes


class Autoscaler:
    def __init__(self, cluster: Cluster, spec: ScalingSpec) -> None:
        self._cluster, self._spec = cluster, spec
        self._seen = 0
        self._active_at = 0.0
        self._wanted: deque[tuple[float, int]] = deque()
        cluster.scale(max(1, spec.least_pods), start_s=0.0)
        cluster.every(spec.polling_s, self._poll)
        cluster.every(spec.sync_s, self._sync)

    def _poll(self) -> None:
        """KEDA: reads the queue, and has the first pod and the last one to itself."""
        cluster, spec = self._cluster, self._spec
        self._seen = len(cluster.waiting) + (cluster.locked if spec.counts_locked else 0)
        if self._seen:
            self._active_at = cluster.now
        pods = len(cluster.pods)
        if pods == 0 and self._seen:
            cluster.scale(1, start_s=spec.pod_start_s)
        elif pods == 1 and spec.least_pods == 0 and cluster.now - self._active_at >= spec.cooldown_s:
            cluster.scale(0, start_s=spec.pod_start_s)

    def _sync(self) -> None:
        """The HPA: at once up, by four pods or twofold; down to the most it wanted in the last minutes."""
        cluster, spec = self._cluster, self._spec
        pods = len(cluster.pods)
        if pods == 0:
            return
        load = self._seen / (spec.message_count * pods)
        desired = pods if abs(load - 1.0) <= spec.tolerance else math.ceil(self._seen / spec.message_count)
        desired = min(max(desired, spec.least_pods, 1), spec.most_pods)
        self._wanted.append((cluster.now, desired))
        while self._wanted[0][0] <= cluster.now - spec.stabilisation_s:
            self._wanted.popleft()
        if desired < pods:
            desired = min(pods, max(wanted for _, wanted in self._wanted))
        cluster.scale(min(desired, max(2 * pods, pods + 4)), start_s=spec.pod_start_s)


# What theory says. `offered`: arrivals a second times the time of each, in Erlang


def erlang_c(servers: int, offered: float) -> float:
    """The share of arrivals that have to wait (M/M/c)."""
    blocked = 1.0  # Erlang B, server by server
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def wait_of_servers_s(servers: int, offered: float, *, served_s: float, variation: float = 1.0) -> float:
    """On average. `variation`: of the time, standard deviation over mean; 1 is exact, else Allen and Cunneen's."""
    return erlang_c(servers, offered) * served_s / (servers - offered) * (1.0 + variation**2) / 2.0


def wait_of_core_s(busy: float, *, served_s: float) -> float:
    """On average, where each takes as long (M/D/1)."""
    return busy * served_s / (2.0 * (1.0 - busy))
