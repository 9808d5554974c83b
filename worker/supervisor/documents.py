"""The worker's documents, made of its processes'. Each has a function of its own: a child says more by telling more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.bridge.pump import PumpFacts
from worker.core.readiness import Readiness, readiness_of_all

SILENT_S: Final = 5.0  # ten times what a child takes between two words


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """`status`: as the process itself said `silent_s` ago, or since its start said nothing. No `pid`: none runs."""

    process: int
    pid: int | None
    restarts: int
    starts_in_s: float | None
    silent_s: float | None
    status: Mapping[str, Any] | None


def readiness_of(processes: Sequence[ProcessFacts], *, is_draining: bool) -> Readiness:
    return readiness_of_all([_readiness(each) for each in processes], is_draining=is_draining)


def status_of(processes: Sequence[ProcessFacts], *, is_draining: bool) -> dict[str, object]:
    ready = readiness_of(processes, is_draining=is_draining)
    return {
        "ready": ready.is_ready,
        "reasons": ready.reasons,
        "pump": asdict(pump_of(processes)),
        "processes": [asdict(each) for each in processes],
    }


def pump_of(processes: Iterable[ProcessFacts]) -> PumpFacts:
    pumps = [PumpFacts(**each.status["pump"]) for each in processes if each.status is not None]
    return PumpFacts(
        lanes=sum(pump.lanes for pump in pumps),
        lanes_receiving=sum(pump.lanes_receiving for pump in pumps),
        in_flight=sum(pump.in_flight for pump in pumps),
        slots_free=sum(pump.slots_free for pump in pumps),
        is_stopping=bool(pumps) and all(pump.is_stopping for pump in pumps),
        is_paused=bool(pumps) and all(pump.is_paused for pump in pumps),
        failure=next((pump.failure for pump in pumps if pump.failure is not None), None),
    )


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
