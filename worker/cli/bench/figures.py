"""Numbers of rounds, and what becomes of them: medians, and ratios of what ran beside each other."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullLoad:
    """What is NaN isn't told by this system."""

    requests_per_s: float
    cpu_ms_per_request: float
    p50_ms: float
    p99_ms: float
    peak_mb: float
    measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """At a steady rate below what it can do."""

    per_s: float
    p50_ms: float
    p99_ms: float
    measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    requests_per_s: float
    cpu_ms_per_request: float


def full_load_of(*, took_s: float, cpu_s: float, latencies_ms: Sequence[float], peak_mb: float) -> FullLoad:
    measured = len(latencies_ms)
    return FullLoad(
        requests_per_s=measured / took_s,
        cpu_ms_per_request=cpu_s * 1000 / measured,
        p50_ms=quantile(latencies_ms, 0.5),
        p99_ms=quantile(latencies_ms, 0.99),
        peak_mb=peak_mb,
        measured=measured,
    )


def calm_of(per_s: float, latencies_ms: Sequence[float]) -> Calm:
    return Calm(
        per_s=per_s,
        p50_ms=quantile(latencies_ms, 0.5),
        p99_ms=quantile(latencies_ms, 0.99),
        measured=len(latencies_ms),
    )


def medians(rounds: Sequence[FullLoad]) -> FullLoad:
    """Of each figure by itself; `measured` is the least."""
    return FullLoad(
        requests_per_s=_median(each.requests_per_s for each in rounds),
        cpu_ms_per_request=_median(each.cpu_ms_per_request for each in rounds),
        p50_ms=_median(each.p50_ms for each in rounds),
        p99_ms=_median(each.p99_ms for each in rounds),
        peak_mb=_median(each.peak_mb for each in rounds),
        measured=min(each.measured for each in rounds),
    )


def ratio_of(ours: Sequence[FullLoad], theirs: Sequence[FullLoad]) -> Ratio:
    """The median of each round's ratio: what disturbs a round disturbs both of its sides."""
    pairs = list(zip(ours, theirs, strict=True))
    return Ratio(
        requests_per_s=_median(our.requests_per_s / their.requests_per_s for our, their in pairs),
        cpu_ms_per_request=_median(our.cpu_ms_per_request / their.cpu_ms_per_request for our, their in pairs),
    )


def _median(values: Iterable[float]) -> float:
    """NaN as soon as one is."""
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else statistics.median(found)
