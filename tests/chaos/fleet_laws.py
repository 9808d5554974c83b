"""What must hold for the workers: no lock lost without a cause or a word, clean ends, nothing said in error."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from chaos.evidence import REQUESTS
from chaos.flows import DRAIN_S, LOCK_S
from chaos.plan import Kind
from chaos.records import Harm, Life, Line, Round, Violation
from chaos.traces import Holding, Trace

CAUSE: Final = "a delivery count grows for a reason alone"
ABANDONED: Final = "only a worker that stops gives a request back at a delivery count"
SAID: Final = "a lost lock is said"
DONE: Final = "what a worker calls settled is settled"
CLEAN: Final = "a worker that is told to stop ends with 0, in time"
ALIVE: Final = "no worker ends by itself"
LOG: Final = "nothing is said in error"
DRAINED: Final = "once nothing is in its way, every request comes to its end"

HELD_UP: Final = "the stage itself was held up"
PROCESS: Final = frozenset({Kind.KILL, Kind.TERM, Kind.TERM_TWICE, Kind.FREEZE, Kind.FREEZE_BRIEFLY})
FROZEN: Final = frozenset({Kind.FREEZE, Kind.FREEZE_BRIEFLY})
PLANNED_S: Final = 2 * LOCK_S  # by then a fault that waits for a settlement or renewal has met one
REOPENED_S: Final = 4.0  # until a lane is back, and the renewals that it owes are made
NOTICED_S: Final = 0.5 * LOCK_S + 1.5  # a lock that is taken away is missed at its next renewal
ARRIVED_S: Final = 1.0  # by then a delivery has arrived, or its connection was lost
MARGIN_S: Final = 7.0  # beyond the drain, for links that are slow to close
UNCOMMON_HOLD_UP_S: Final = 1.0  # of a worker's event loop
STARTED: Final = "worker_started"


def check_fleet(record: Round, traces: Mapping[str, Trace]) -> Iterator[Violation]:
    lives = {life.by: life for life in record.lives}
    lines: dict[str, list[Line]] = defaultdict(list)
    for line in record.lines:
        lines[line.by].append(line)
    for trace in traces.values():
        for holding in trace.holdings:
            yield from _check_holding(trace, holding, record, lives, lines[holding.by or ""])
    for life in record.lives:
        yield from _check_life(life, record.harms, lines[life.by])
    for line in record.lines:
        if line.level in {"error", "critical", "unreadable"} or "exception" in line.said:
            yield Violation(law=LOG, what=f"{line.by}: {line.event} {line.said.get('exception', '')}", request_id=None)
    for branch in record.left:
        yield Violation(law=DRAINED, what=f"{branch} was still there", request_id=_request_of(branch, traces))


def _request_of(branch: str, traces: Mapping[str, Trace]) -> str | None:
    return next((trace.request_id for trace in traces.values() if branch in trace.branches), None)


def _check_holding(
    trace: Trace, holding: Holding, record: Round, lives: Mapping[str, Life], lines: Iterable[Line]
) -> Iterator[Violation]:
    life = lives.get(holding.by or "")
    if holding.ended_at is None or life is None or holding.how not in {"lost", "abandon"}:
        return
    where = f"{holding.delivered.branch} at {holding.by} (delivery {holding.delivered.count})"
    if holding.how == "abandon":
        if life.told_to_stop_at is None or life.told_to_stop_at > holding.ended_at:
            yield Violation(law=ABANDONED, what=where, request_id=trace.request_id)
        return
    if not _has_cause(holding, record, lines):
        yield Violation(law=CAUSE, what=f"the lock was lost on {where}", request_id=trace.request_id)
    if any(_claims(line, holding) for line in lines):
        yield Violation(law=DONE, what=f"but the lock was lost on {where}", request_id=trace.request_id)
    lived_on = life.ended_at is None or life.ended_at > holding.ended_at + NOTICED_S
    if (
        lived_on
        and not holding.is_unread
        and not _is_said(holding, lines)
        and not _may_have_missed_it(holding, record.harms)
    ):
        yield Violation(law=SAID, what=f"no word of the lock on {where}", request_id=trace.request_id)


def _has_cause(holding: Holding, record: Round, lines: Iterable[Line]) -> bool:
    began, ended = holding.delivered.at, holding.ended_at or record.ended_at
    if any(_is_about(harm, holding) and _overlaps(harm, began, ended) for harm in record.harms):
        return True
    return any(
        line.event == "loop_held_up"
        and began <= line.at <= ended + ARRIVED_S
        and float(str(line.said.get("seconds", 0))) >= UNCOMMON_HOLD_UP_S
        for line in lines
    )


def _is_about(harm: Harm, holding: Holding) -> bool:
    """Whether it may cost this worker locks."""
    if harm.kind == HELD_UP:
        return True
    if harm.by not in {None, holding.by}:
        return False
    if harm.kind in {Kind.LOSE_LOCK, Kind.LOSE_LOCKS}:
        return holding.delivered.branch in (harm.branch or "").split(",")
    return harm.kind in PROCESS or _is_of_lanes(harm)


def _is_of_lanes(harm: Harm) -> bool:
    flows = {Kind.TOKENS_REFUSED, Kind.TOKENS_LATE, Kind.FLOWS_DOWN, Kind.LOSE_LOCK, Kind.LOSE_LOCKS}
    return harm.kind not in PROCESS | flows and harm.entity in {None, REQUESTS}


def _overlaps(harm: Harm, began: float, ended: float) -> bool:
    lasts_s = PLANNED_S if harm.kind in _WAITING else REOPENED_S
    return harm.at <= ended + ARRIVED_S and harm.until + lasts_s >= began


_WORDS_LOST: Final = frozenset({Kind.SETTLEMENT_LOST, Kind.SETTLEMENT_LATE, Kind.CONFIRMATION_LOST})
_WAITING: Final = frozenset(
    {
        Kind.SETTLEMENT_LOST,
        Kind.SETTLEMENT_LATE,
        Kind.CONFIRMATION_LOST,
        Kind.CUT_AFTER_SETTLEMENT,
        Kind.CUT_AFTER_RENEWAL,
        Kind.BUSY_LANES,
    }
)


def _claims(line: Line, holding: Holding) -> bool:
    """To have settled this delivery."""
    said = line.said
    is_about = said.get("sequence_number") == holding.delivered.sequence_number
    return (
        is_about
        and said.get("delivery_count") == holding.delivered.count
        and said.get("settled") == "done"
        and said.get("settlement") in {"Complete", "DeadLetter"}
    )


def _is_said(holding: Holding, lines: Iterable[Line]) -> bool:
    return any(
        line.said.get("sequence_number") == holding.delivered.sequence_number
        and (line.event in {"lock_lost", "lock_expired_on_arrival"} or line.said.get("settled") == "lock_lost")
        for line in lines
    )


def _may_have_missed_it(holding: Holding, harms: Iterable[Harm]) -> bool:
    """Its connection was in trouble just when the delivery was on its way, or before its worker thawed to read it."""
    mine = [harm for harm in harms if harm.by in {None, holding.by}]
    at = holding.delivered.at
    frozen = [
        harm.until for harm in mine if harm.kind in FROZEN and harm.at - ARRIVED_S <= at <= harm.until + ARRIVED_S
    ]
    until = max([at, *frozen]) + ARRIVED_S
    return any(
        _is_of_lanes(harm) and harm.kind not in _WORDS_LOST and harm.at <= until and harm.until + ARRIVED_S >= at
        for harm in mine
    )


def _check_life(life: Life, harms: Iterable[Harm], lines: Iterable[Line]) -> Iterator[Violation]:
    if life.ended_at is None:
        return
    mine = [harm for harm in harms if harm.by in {None, life.by}]
    if life.status == -9 and any(harm.kind == Kind.KILL for harm in mine):
        return
    if life.told_to_stop_at is None:
        yield Violation(law=ALIVE, what=f"{life.by} ended with {life.status}")
        return
    started_at = next((line.at for line in lines if line.event == STARTED), None)
    if started_at is None or started_at > life.told_to_stop_at:
        return  # there was nothing yet to drain
    frozen_s = sum(harm.until - harm.at for harm in mine if harm.kind in FROZEN and harm.until > life.told_to_stop_at)
    took_s = life.ended_at - life.told_to_stop_at - frozen_s
    is_in_trouble = any(
        _is_of_lanes(harm) and harm.until + REOPENED_S >= life.told_to_stop_at and harm.at <= life.ended_at
        for harm in mine
    )
    if life.status != 0 and not (life.status == 1 and is_in_trouble):
        yield Violation(law=CLEAN, what=f"{life.by} ended with {life.status} after {took_s:.1f} s")
    if took_s > DRAIN_S + MARGIN_S:
        yield Violation(law=CLEAN, what=f"{life.by} took {took_s:.1f} s, and may take {DRAIN_S:g} s")
