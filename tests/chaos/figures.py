"""What a campaign comes to, over its rounds."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.laws import Admitted
from chaos.plan import Kind
from chaos.records import Delivered, Harm, Replied, Requested, Settled
from chaos.rounds import Played


@dataclass(slots=True, kw_only=True)
class Figures:
    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    harms: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    recoveries_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    repeats: int = 0
    deliveries: Counter[int] = field(default_factory=Counter)
    drains_s: list[float] = field(default_factory=list)
    drained_s: list[float] = field(default_factory=list)
    admitted: Admitted = field(default_factory=Admitted)
    resident_mb: list[float] = field(default_factory=list)
    connections: int = 0

    @property
    def kills(self) -> int:
        return self.harms[Kind.KILL]

    def add(self, played: Played) -> None:
        record = played.record
        for event in record.events:
            match event:
                case Requested(is_copy=False, is_repeat=False):
                    self.requests += 1
                case Replied(is_repeat=True):
                    self.repeats += 1
                case Replied():
                    self.outcomes[event.outcome] += 1
                case Delivered():
                    self.deliveries[event.count] += 1
                case _:
                    pass
        self.dead.update(each.reason for each in record.dead)
        self.harms.update(harm.kind for harm in record.harms)
        self.triggers.update(harm.trigger for harm in record.harms)
        self.calls.update(call.ending for call in record.calls)
        for life in record.lives:
            if life.ended_at is not None and life.told_to_stop_at is not None and life.status == 0:
                self.drains_s.append(life.ended_at - life.told_to_stop_at)
        self.drained_s.append(played.drained_s)
        for harm in record.harms:
            recovered = _recovery_s(harm, played)
            if recovered is not None:
                self.recoveries_s[harm.kind].append(recovered)

    def recovery_rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (kind, str(self.harms[kind]), _seconds(times, 0.5), _seconds(times, 0.99))
            for kind, times in sorted((kind, self.recoveries_s.get(kind, [])) for kind in self.harms)
        ]


def _recovery_s(harm: Harm, played: Played) -> float | None:
    """Until the worker, or the next one in its seat, settles something again."""
    if harm.by is None:
        return None
    seat = harm.by.partition(".")[0]
    locks: dict[str, str] = {}
    for event in played.record.events:
        if isinstance(event, Delivered) and event.by is not None and event.by.partition(".")[0] == seat:
            locks[event.lock] = event.by
        if isinstance(event, Settled) and event.at > harm.until and event.lock in locks:
            if harm.kind == Kind.KILL and locks[event.lock] == harm.by:
                continue
            return event.at - harm.until
    return None


def _seconds(times: Sequence[float], share: float) -> str:
    return f"{sorted(times)[min(len(times) - 1, int(len(times) * share))]:.2f}" if times else "-"


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
