"""The worker's documents, made of its processes'. Each has a function of its own: a child says more by telling more."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Final

import orjson

from worker.bridge.pump import PumpFacts
from worker.core.breaker import Circuit
from worker.core.readiness import Readiness, readiness_of_all
from worker.core.recent import Told
from worker.metrics import exposition
from worker.release import release
from worker.running import with_recent

SILENT_S: Final = 5.0  # ten times what a child takes between two words

_SUMMED: Final = ("in_flight", "waiting", "limit", "most", "rate_per_s", "held", "openings")
_WORST_FIRST: Final = (Circuit.ISOLATED, Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """As the process itself said `silent_s` ago, or since its start said nothing. No `pid`: none runs.

    `recent` and `metrics` are JSON, read by whoever wants them: they are long, and a probe doesn't.
    """

    process: int
    pid: int | None
    restarts: int
    starts_in_s: float | None
    silent_s: float | None
    status: Mapping[str, Any] | None
    recent: bytes | None = None
    metrics: bytes | None = None


def readiness_of(processes: Sequence[ProcessFacts], *, is_draining: bool) -> Readiness:
    return readiness_of_all([_readiness(each) for each in processes], is_draining=is_draining)


def status_of(
    processes: Sequence[ProcessFacts], *, began_at: float, is_draining: bool, is_steerable: bool
) -> dict[str, object]:
    """`began_at` in epoch seconds."""
    ready = readiness_of(processes, is_draining=is_draining)
    told = [each.status for each in processes if each.status is not None]
    status = {
        "version": release(),
        "at": time.time(),
        "uptime_s": time.time() - began_at,
        "ready": ready.is_ready,
        "reasons": ready.reasons,
        "pump": asdict(pump_of(processes)),
        "flows": _by_name("name", _flow, [each["flows"] for each in told]),
        "fleet": told[0]["fleet"] if told else None,
        "tokens": _by_name("scope", _token, [each["tokens"] for each in told]),
        "loop_lag_s": max((each["loop_lag_s"] for each in told), default=0.0),
        "processes": [_process(each) for each in processes],
    }
    recents: list[Told] = [orjson.loads(each.recent) for each in processes if each.recent is not None]
    return with_recent(status, recents, is_steerable=is_steerable)


def metrics_of(processes: Iterable[ProcessFacts]) -> dict[int, exposition.Told]:
    return {each.process: orjson.loads(each.metrics) for each in processes if each.metrics is not None}


def pump_of(processes: Iterable[ProcessFacts]) -> PumpFacts:
    return PumpFacts.of_all([PumpFacts(**each.status["pump"]) for each in processes if each.status is not None])


def _by_name(
    key: str,
    join: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]],
    lists: Iterable[Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    named: dict[str, list[Mapping[str, Any]]] = {}
    for each in chain.from_iterable(lists):
        named.setdefault(each[key], []).append(each)
    return [join(same) for same in named.values()]


def _flow(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums, and of what can't be summed the worst: a circuit that is open in one process fails a share of the calls."""
    circuit = next(state for state in _WORST_FIRST if any(each["circuit"] == state for each in same))
    return {
        "name": same[0]["name"],
        "circuit": circuit,
        "reopens_in_s": _least(same, "reopens_in_s"),
        "fastest_decile_s": _least(same, "fastest_decile_s"),
        **{name: sum(each[name] for each in same) for name in _SUMMED},
    }


def _token(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the process that is worst off."""
    return dict(min(same, key=lambda each: each["usable_s"] or 0.0))


def _least(same: Sequence[Mapping[str, Any]], name: str) -> Any:
    return min((each[name] for each in same if each[name] is not None), default=None)


def _process(process: ProcessFacts) -> dict[str, object]:
    """Without what is told of all together."""
    return {
        "process": process.process,
        "pid": process.pid,
        "restarts": process.restarts,
        "starts_in_s": process.starts_in_s,
        "silent_s": process.silent_s,
        "status": process.status,
    }


def _readiness(process: ProcessFacts) -> Readiness:
    if process.pid is None:
        when = "" if process.starts_in_s is None else f", starts again in {process.starts_in_s:.0f} s"
        return Readiness(reasons=(f"not running{when}",))
    silent_s = process.silent_s or 0.0
    if process.status is None:
        return Readiness(reasons=(f"starting since {silent_s:.0f} s",))
    if silent_s > SILENT_S:
        return Readiness(reasons=(f"has said nothing for {silent_s:.0f} s",))
    return Readiness(reasons=tuple(process.status["reasons"]))
