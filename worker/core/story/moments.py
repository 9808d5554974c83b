"""What happened to a request, one line each, with its time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

from worker.core.outcome import HeldBack
from worker.core.story.lines import Entry
from worker.core.story.record import Leaving, Record, Try, number, text, whole, worker_of
from worker.core.story.telling import clause, lasting, ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """`at` in epoch seconds."""

    at: float
    text: str


def moments_of(records: Sequence[Record], entries: Sequence[Entry], around: Sequence[Entry]) -> list[Moment]:
    """In order. `around`: what else its workers said meanwhile."""
    told: list[Moment] = []
    seen: set[int | None] = set()
    for record in records:
        is_new = record.sequence_number not in seen
        told += _effects_after_causes(_of_delivery(record, came=_came(record, seen) if is_new else None))
        seen.add(record.sequence_number)
    told += [Moment(at=entry.at, text=_of_entry(entry)) for entry in entries]
    told += [Moment(at=entry.at, text=f"({_around(entry)})") for entry in around]
    return sorted(told, key=lambda moment: moment.at)


def _came(record: Record, seen: set[int | None]) -> str:
    if record.is_replay:
        return "sent again by a replay"
    is_copy = bool(seen) or record.delivery_attempt > 0 or record.is_fetch
    return "its copy came up in the queue" if is_copy else "queued"


def _effects_after_causes(moments: Iterable[Moment]) -> Iterator[Moment]:
    """Times are rounded, and some made up of others: as they were told, none is before the one that led to it."""
    at = float("-inf")
    for moment in moments:
        at = max(at, moment.at)
        yield Moment(at=at, text=moment.text)


def _of_delivery(record: Record, *, came: str | None) -> Iterator[Moment]:
    if came is not None:
        yield Moment(at=record.enqueued_at, text=came)
    yield Moment(at=record.taken_at, text=_taken(record))
    yield from _of_tries(record)
    if record.is_recalled:
        yield Moment(at=record.taken_at, text="what came of an earlier delivery was still in this worker's memory")
    if not record.tries and (record.calls or (record.is_fetch and record.call_s)):
        answered_at = min(record.taken_at + record.call_s, record.replied_at)
        did = "the run's answer was fetched" if record.is_fetch else "the flow was called"
        yield Moment(at=answered_at, text=f"{did}: {_brought(record)} after {lasting(record.call_s)}")
    if record.is_replied and record.outcome is not None:
        to = f" on {record.reply_to}" if record.reply_to else ""
        yield Moment(at=record.replied_at, text=f'its caller had the reply "{record.outcome}"{to}')
    if record.leaving is Leaving.MOVED:
        yield Moment(at=min(record.taken_at + record.call_s, record.at), text=_moved(record))
    yield Moment(at=record.at, text=_left(record))


def _taken(record: Record) -> str:
    by = f" by {record.source}" if record.source else ""
    read = f" (in {record.file})" if record.file else ""
    if record.delivery_count:
        return f"taken again{by}: the {ordinal(record.delivery_count + 1)} delivery of this message{read}"
    return f"taken{by} after {lasting(record.queue_wait_s)} in the queue{read}"


def _of_tries(record: Record) -> Iterator[Moment]:
    following = [after for _, after in pairwise([*record.tries, None])]
    for count, (each, after) in enumerate(zip(record.tries, following, strict=True), start=1):
        said = f"attempt {count}: {_try(each)}"
        if after is not None and each.is_failed:
            said += f"; {_again(each, after)}"
        yield Moment(at=record.enqueued_at + each.at_s, text=said)


def _try(each: Try) -> str:
    if each.took_s is None:
        return "cut short before an answer came"
    brought = "no answer" if each.status is None else f"HTTP {each.status}"
    why = clause((each.why or "").removeprefix(f"The platform answered with {brought}")).lstrip(" ,")
    return f"{brought} after {lasting(each.took_s)}{f': {why}' if why else ''}"


def _again(each: Try, after: Try) -> str:
    pause_s = after.at_s - each.at_s - (each.took_s or 0.0)
    if pause_s < 0 or each.took_s is None:
        return "a second request was sent beside it, as the flow was slow (hedge_after_s)"
    why = "the flow may be called twice (idempotent)" if each.may_have_run else "the flow surely did not run"
    return f"tried again after {lasting(pause_s)}, because {why}"


def _brought(record: Record) -> str:
    if record.http_status is None:
        return "no answer"
    return f"HTTP {record.http_status}"


def _left(record: Record) -> str:
    match record.leaving:
        case Leaving.MOVED:
            return "this delivery completed"
        case Leaving.COMPLETED if record.outcome is None:
            return "completed without a call: another copy of the request is the one that ends it"
        case Leaving.COMPLETED:
            return "completed"
        case Leaving.DEAD_LETTERED:
            return f"dead-lettered{f' as {record.dead_letter}' if record.dead_letter else ''}"
        case Leaving.GIVEN_BACK if record.defect is not None:
            return f"given back to the queue after a defect of the bridge: {clause(record.defect)}"
        case Leaving.GIVEN_BACK:
            return "given back to the queue, for another delivery"
        case Leaving.LOCK_LOST:
            return "not settled, because its lock had gone: the broker delivers it again, unless it was settled before"
        case Leaving.UNCONFIRMED:
            return "its settlement was said, but the broker never confirmed it: it may come again"
        case Leaving.UNKNOWN:
            return "ended in a way that this version doesn't know"
        case _:
            assert_never(record.leaving)


def _moved(record: Record) -> str:
    due = "" if record.copy_in_s is None else f", due in {lasting(record.copy_in_s)}"
    if record.outcome is None:
        return f"the flow runs on (HTTP 202): a copy on the queue{due} is to fetch its answer"
    if record.held_back is None:
        return f"a copy for the next try went onto the queue{due}"
    return f"{held_back(record.held_back)}, so a copy went onto the queue{due}, at no try"


def held_back(by: HeldBack) -> str:
    match by:
        case HeldBack.CIRCUIT:
            return "the flow's circuit was open"
        case HeldBack.PLACE:
            return "the flow had all the slots or starts that it may have"
        case HeldBack.TOKEN:
            return "there was no token to call the flow with"
        case HeldBack.STOP:
            return "the worker was stopping"
        case _:
            assert_never(by)


def _of_entry(entry: Entry) -> str:
    fields = entry.fields
    why, raised = text(fields, "why"), text(fields, "exception")
    because = f": {clause(why)}" if why else ""
    last_line = raised.strip().splitlines()[-1] if raised and raised.strip() else "see its traceback in the log"
    said = {
        "lock_lost": "the lock on it was lost, so its work was cut short",
        "lock_expired_on_arrival": "it arrived with its lock already over",
        "lock_not_renewed": f"its lock could not be renewed for now{because}",
        "settlement_unconfirmed": "the broker did not confirm its settlement in time; it is said again",
        "bridge_defect": f"a defect of the bridge: {last_line}",
        "bridge_defect_untold": f"its caller could not be told of the defect: {last_line}",
        "called_for_another_copy": "this worker was calling, or had called, the flow for another copy of the request",
        "answer_fetched_in_place": f"no copy could be made to fetch the run's answer, so it was waited for{because}",
    }
    return said.get(entry.event, entry.event.replace("_", " ") + because)


def _around(entry: Entry) -> str:
    """What went on beside the request."""
    fields = entry.fields
    flow, failure, reopens_in_s = (
        text(fields, "flow") or "a flow",
        text(fields, "failure"),
        number(fields, "reopens_in_s"),
    )
    process, status = whole(fields, "process"), whole(fields, "status")
    because = f": {clause(failure)}" if failure else ""
    worker, child = worker_of(entry) or "the worker", "a process" if process is None else f"process {process}"
    open_s = "" if reopens_in_s is None else f" for {lasting(reopens_in_s)}"
    said = {
        "circuit_opened": f"the circuit of {flow} opened{open_s}",
        "circuit_closed": f"the circuit of {flow} closed",
        "circuit_isolated": f"somebody isolated {flow}",
        "circuit_reset": f"somebody reset the circuit of {flow}",
        "intake_paused": f"{worker} stopped receiving, because no flow could be called without a token",
        "intake_opened": f"{worker} received again",
        "lane_failed": f"{worker} lost a link to the broker{because}",
        "lane_recovered": f"{worker} had the link again",
        "session_lost": f"{worker} lost a session",
        "loop_held_up": f"{worker} stood still for {lasting(number(fields, 'seconds') or 0.0)}",
        "worker_started": f"{worker} started",
        "drain_started": f"{worker} began to drain, to stop",
        "worker_stopped": f"{worker} stopped",
        "process_started": f"{child} started",
        "process_ended": f"{child} ended{'' if status is None else f' with status {status}'}",
        "process_killed": f"{child} was killed",
        "process_refused": f"{child} refused what it was started with",
        "process_not_started": f"{child} could not be started{because}",
    }
    return said.get(entry.event, entry.event.replace("_", " "))
