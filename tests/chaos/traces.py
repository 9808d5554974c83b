"""A round's records put together by request: its branches, who held them when and how that ended, replies and calls."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.plan import Asked, Kind
from chaos.records import Call, DeadLetter, Delivered, Event, Harm, Life, Line, Replied, Requested, Round, Settled

FINAL: Final = frozenset({"complete", "dead_letter"})
NEAR_S: Final = 0.4  # of a call's time, between two clocks
BY_US_S: Final = 0.5  # a lock is taken away so soon after its harm


@dataclass(slots=True, kw_only=True)
class Holding:
    """One delivery. `how` it ended: as settled, or "lost"; None where it is not known.

    `is_unread`: the SDK gave it back, in time or too late, before anybody at the worker had seen it.
    """

    delivered: Delivered
    ended_at: float | None = None
    how: str | None = None
    is_unread: bool = False

    @property
    def by(self) -> str | None:
        return self.delivered.by

    def is_open_at(self, at: float) -> bool:
        return self.delivered.at <= at and (self.ended_at is None or at <= self.ended_at)


@dataclass(slots=True, kw_only=True)
class Branch:
    """`ended`: the event's place among all."""

    requested: Requested
    index: int
    holdings: list[Holding] = field(default_factory=list)
    ended: int | None = None
    how: str | None = None


@dataclass(slots=True, kw_only=True)
class Trace:
    """Of one request. `replies` with their places among all events, repeats included."""

    request_id: str
    asked: Asked | None
    branches: dict[str, Branch] = field(default_factory=dict)
    replies: list[tuple[int, Replied]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    words: list[Line] = field(default_factory=list)  # of workers, about its deliveries
    lives: Mapping[str, Life] = field(default_factory=dict)

    def is_cut_by_a_stop(self, call: Call) -> bool:
        """Its worker's drain was over, or hurried, before it had the answer."""
        life = self.lives.get(call.by)
        return life is not None and (call.ended_at or float("inf")) >= life.may_cut_from - NEAR_S

    def timed_out_at(self, worker: str, call_s: float) -> bool:
        """By the worker's own clock: the flow's door may hear of a call late."""
        return any(
            line.by == worker and float(str(line.said.get("call_s", 0.0))) >= call_s - NEAR_S for line in self.words
        )

    @property
    def visible(self) -> list[tuple[int, Replied]]:
        return [(index, reply) for index, reply in self.replies if not reply.is_repeat]

    @property
    def holdings(self) -> list[Holding]:
        return [holding for branch in self.branches.values() for holding in branch.holdings]

    def is_alive(self, index: int, *, but: str) -> bool:
        """Whether another branch of the request was there at this place among all events."""
        return any(
            name != but and branch.index < index and (branch.ended is None or branch.ended > index)
            for name, branch in self.branches.items()
        )

    def redelivered_to(self, worker: str, at: float) -> bool:
        """Whether the worker then held a delivery after another one that ended without a word."""
        return any(
            holding.by == worker
            and holding.is_open_at(at)
            and (holding.delivered.count > 0 or self.branches[holding.delivered.branch].requested.is_redelivered)
            for holding in self.holdings
        )


def traces_of(record: Round) -> dict[str, Trace]:
    traces: dict[str, Trace] = {}
    request_ids: dict[str, str] = {}
    lives = {life.by: life for life in record.lives}

    def trace(request_id: str) -> Trace:
        if request_id not in traces:
            traces[request_id] = Trace(request_id=request_id, asked=record.asked.get(request_id), lives=lives)
        return traces[request_id]

    taken_away = _taken_away(record.harms)
    for index, event in enumerate(record.events):
        match event:
            case Requested():
                request_ids[event.branch] = event.request_id
                if not event.is_repeat:
                    trace(event.request_id).branches[event.branch] = Branch(requested=event, index=index)
            case Replied():
                trace(event.request_id).replies.append((index, event))
            case Delivered() | Settled() if event.branch in request_ids:
                branch = trace(request_ids[event.branch]).branches[event.branch]
                _follow(branch, event, index, taken_away[event.branch])
            case _:
                pass
    for call in record.calls:
        trace(call.request_id).calls.append(call)
    for dead in record.dead:
        trace(dead.request_id).dead.append(dead)
    for line in record.lines:
        if "call_s" in line.said and (about := str(line.said.get("request_id"))) in traces:
            traces[about].words.append(line)
    return traces


def _follow(branch: Branch, event: Delivered | Settled, index: int, taken_away: Sequence[float]) -> None:
    if isinstance(event, Delivered):
        if branch.holdings and branch.holdings[-1].how is None:
            branch.holdings[-1].how, branch.holdings[-1].ended_at = "lost", event.at
        branch.holdings.append(Holding(delivered=event))
        return
    for holding in branch.holdings:
        if holding.delivered.lock == event.lock:
            holding.is_unread |= event.how == "release"
    if event.is_refused:
        return
    for holding in branch.holdings:
        if holding.delivered.lock == event.lock:
            by_us = event.how == "abandon" and any(0 <= event.at - at <= BY_US_S for at in taken_away)
            holding.how, holding.ended_at = "lost" if by_us else event.how, event.at
    if event.how in FINAL:
        branch.ended, branch.how = index, event.how


def _taken_away(harms: Iterable[Harm]) -> dict[str, list[float]]:
    """When locks were taken away on purpose, by branch."""
    found: dict[str, list[float]] = defaultdict(list)
    for harm in harms:
        if harm.kind in {Kind.LOSE_LOCK, Kind.LOSE_LOCKS} and harm.branch:
            for branch in harm.branch.split(","):
                found[branch].append(harm.at)
    return found


def events_about(trace: Trace, events: Iterable[Event]) -> list[Event]:
    return [
        event
        for event in events
        if (event.request_id if isinstance(event, Requested | Replied) else None) == trace.request_id
        or (isinstance(event, Delivered | Settled) and event.branch in trace.branches)
    ]
