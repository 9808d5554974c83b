"""When a call may be cut, and when it must be."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from chaos.fleet_laws import FROZEN, NOTICED_S, REOPENED_S
from chaos.flows import FLOWS
from chaos.records import Call, Ending, Harm, Life, Line, Round, Violation
from chaos.traces import NEAR_S, Holding, Trace

CUT: Final = "a call is cut only when its time, its lock or its worker's drain is over"
LET_GO: Final = "a call whose lock is lost is cut"


def check_cuts(record: Round, traces: Mapping[str, Trace]) -> Iterator[Violation]:
    lives = {life.by: life for life in record.lives}
    lost: dict[str, set[object]] = defaultdict(set)
    for line in record.lines:
        if _tells_of_a_lost_lock(line):
            lost[line.by].add(line.said.get("sequence_number"))
    for trace in traces.values():
        for call in trace.calls:
            life = lives.get(call.by)
            held = [holding for holding in trace.holdings if holding.by == call.by]
            if life is None or call.ended_at is None:
                continue
            is_late = trace.timed_out_at(call.by, FLOWS[call.flow].call_s)
            has_reason = is_late or _has_reason(call, life, held, lost)
            if call.ending is Ending.GONE and not has_reason:
                what = f"{call.by} cut {call.run} after {call.ended_at - call.at:.2f} s"
                yield Violation(law=CUT, what=what, request_id=trace.request_id)
            for holding in held:
                if _outlives(call, call.ended_at, holding, record.harms):
                    what = f"{call.run} of {call.by} went on after the lock on {holding.delivered.branch} was lost"
                    yield Violation(law=LET_GO, what=what, request_id=trace.request_id)


def _tells_of_a_lost_lock(line: Line) -> bool:
    return line.event in {"lock_lost", "lock_expired_on_arrival"} or line.said.get("settled") == "lock_lost"


def _has_reason(call: Call, life: Life, held: Iterable[Holding], lost: Mapping[str, set[object]]) -> bool:
    ended_at = call.ended_at or call.at
    if ended_at - call.at >= FLOWS[call.flow].call_s - NEAR_S:
        return True
    if life.ended_at is not None and life.ended_at <= ended_at + NEAR_S:
        return True
    if any(holding.delivered.sequence_number in lost[call.by] or holding.how == "lost" for holding in held):
        return True
    return ended_at >= life.may_cut_from - NEAR_S


def _outlives(call: Call, ended_at: float, holding: Holding, harms: Iterable[Harm]) -> bool:
    """Where the worker could notice: it was neither frozen nor cut off meanwhile."""
    if holding.how != "lost" or holding.ended_at is None or not holding.delivered.at <= call.at <= holding.ended_at:
        return False
    noticed_at = holding.ended_at + NOTICED_S
    is_hindered = any(
        harm.by in {None, call.by}
        and harm.kind in FROZEN
        and harm.until + REOPENED_S >= holding.delivered.at
        and harm.at <= noticed_at
        for harm in harms
    )
    return ended_at > noticed_at and not is_hindered
