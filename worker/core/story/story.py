"""One request's story, put together from what was found of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from worker.core.outcome import HeldBack, Outcome
from worker.core.story.advice import NOTHING, advice
from worker.core.story.lines import Entry
from worker.core.story.moments import Moment, moments_of
from worker.core.story.reasons import reasons_of
from worker.core.story.record import Leaving, Record
from worker.core.story.search import Found, MatchedBy
from worker.core.story.telling import clock, lasting

_NEVER_ENDED = (
    "No delivery of it has ended in this log. It may be under way, or the lines of its worker's end are elsewhere."
)
_FINAL = frozenset({Leaving.COMPLETED, Leaving.DEAD_LETTERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`headline`, `why` and `to_do` are sentences. `left_out`: events of the request that are not in `moments`."""

    request_id: str
    matched_by: MatchedBy
    correlation_id: str | None
    flow: str | None
    trace_id: str | None
    run_ids: tuple[str, ...]
    outcome: Outcome | None
    leaving: Leaving | None
    headline: str
    moments: tuple[Moment, ...]
    why: tuple[str, ...]
    to_do: str
    left_out: int


def story_of(found: Found, around: Sequence[Entry]) -> Story:
    records = sorted(found.records, key=lambda record: (record.at, record.delivery_count))
    last_sent = _since_last_sent(records)
    telling = _telling(last_sent)
    flow = next((record.flow for record in reversed(records) if record.flow is not None), None)
    moments = moments_of(records, found.entries, _bearing(around, records, flow))
    return Story(
        request_id=found.request_id,
        matched_by=found.matched_by,
        correlation_id=next((record.correlation_id for record in records if record.correlation_id), None),
        flow=flow,
        trace_id=next((record.trace_id for record in records if record.trace_id), None),
        run_ids=tuple(dict.fromkeys(record.run_id for record in records if record.run_id)),
        outcome=None if telling is None else telling.outcome,
        leaving=None if telling is None else telling.leaving,
        headline=_headline(found.request_id, flow, last_sent, telling),
        moments=tuple(moments),
        why=() if telling is None else tuple(reasons_of(records, telling)),
        to_do=NOTHING if telling is None else advice(telling),
        left_out=found.left_out,
    )


def _since_last_sent(records: Sequence[Record]) -> Sequence[Record]:
    """From the last replay on, if there was one: the time as a dead letter before it is none of the work's."""
    replayed = [record.sequence_number for record in records if record.is_replay]
    if not replayed:
        return records
    began_at = next(at for at, record in enumerate(records) if record.sequence_number == replayed[-1])
    return records[began_at:]


def _telling(records: Sequence[Record]) -> Record | None:
    """The delivery that says how it ended: its last; but one that was settled for good outweighs a copy's echo."""
    ends = [record for record in records if record.leaving in _FINAL and record.outcome is not None]
    return next(iter([*reversed(ends), *reversed(records)]), None)


def _headline(request_id: str, flow: str | None, records: Sequence[Record], telling: Record | None) -> str:
    subject = f"Request {request_id}{f' for flow {flow}' if flow else ''}"
    if telling is None:
        return f"{subject}: {_NEVER_ENDED}"
    began_at = min(record.first_enqueued_at for record in records)
    replied = next((record for record in records if record.is_replied and record.outcome is not None), None)
    if replied is None or replied.outcome is None:
        return f"{subject}: {_unreplied(telling, began_at)}."
    said = f"{_told(replied.outcome, replied)} after {lasting(replied.replied_at - began_at)}{_facts(replied)}"
    return f"{subject}: {said}{_slack(replied)}{_beyond(telling)}."


def _told(outcome: Outcome, record: Record) -> str:
    match outcome:
        case Outcome.ANSWERED:
            return "answered"
        case Outcome.REFUSED:
            by = "by the flow" if record.run_id is not None else "before a run began"
            return f"refused {by}, which its caller was told"
        case Outcome.UNAVAILABLE:
            return "not run, and its caller told so (unavailable)"
        case Outcome.INDETERMINATE:
            return "may have run without a whole answer, and its caller told so (indeterminate)"
        case Outcome.EXPIRED:
            return "out of time before the flow was called, and its caller told so (expired)"
        case Outcome.REJECTED:
            return "rejected as wrong, and its caller told so"
        case _:
            assert_never(outcome)


def _unreplied(record: Record, began_at: float) -> str:
    after = f"after {lasting(record.at - began_at)}{_facts(record)}"
    match record.leaving:
        case Leaving.COMPLETED if record.outcome is None:
            return f"left to another copy of it {after}"
        case Leaving.COMPLETED if record.reply_to is not None:
            return f"settled {after}; it had been replied to by an earlier delivery"
        case Leaving.COMPLETED:
            return f"one-way and done {after}" if record.outcome is Outcome.ANSWERED else f"one-way and ended {after}"
        case Leaving.MOVED:
            due = "" if record.copy_in_s is None else f", due at {clock(record.at + record.copy_in_s)}"
            return f"waiting in the queue as a copy{due}; no later line tells of it"
        case Leaving.DEAD_LETTERED:
            return f"dead-lettered{f' as {record.dead_letter}' if record.dead_letter else ''} {after}"
        case Leaving.GIVEN_BACK:
            return f"back in the queue since {clock(record.at)}; no later line tells of it"
        case Leaving.LOCK_LOST:
            return f"back in the queue, as its lock was lost by {clock(record.at)}; no later line tells of it"
        case Leaving.UNCONFIRMED:
            return f"in doubt since {clock(record.at)}, as the broker did not confirm its settlement"
        case Leaving.UNKNOWN:
            return f"ended {after}"
        case _:
            assert_never(record.leaving)


def _facts(record: Record) -> str:
    facts = [
        f"HTTP {record.http_status}" if record.http_status is not None else "",
        record.reason or "",
        f"run {record.run_id}" if record.run_id else "",
    ]
    told = ", ".join(filter(None, facts))
    return f" ({told})" if told else ""


def _slack(record: Record) -> str:
    if record.slack_s is None:
        return ""
    return f", {lasting(record.slack_s)} {'before' if record.slack_s >= 0 else 'after'} its deadline"


def _beyond(record: Record) -> str:
    """What became of the message, where it wasn't simply completed."""
    match record.leaving:
        case Leaving.DEAD_LETTERED:
            return f", and dead-lettered{f' as {record.dead_letter}' if record.dead_letter else ''}"
        case Leaving.GIVEN_BACK | Leaving.LOCK_LOST | Leaving.UNCONFIRMED:
            return "; its message may come once more, and will be answered alike or from memory"
        case Leaving.COMPLETED | Leaving.MOVED | Leaving.UNKNOWN:
            return ""
        case _:
            assert_never(record.leaving)


def _bearing(around: Sequence[Entry], records: Sequence[Record], flow: str | None) -> list[Entry]:
    """Of the request's own flow and workers; of any worker, where some delivery has no line about its end."""
    if not records:
        return []
    began_at = min(record.enqueued_at for record in records)
    is_ended = any(record.leaving in _FINAL for record in records)
    ended_at = records[-1].at if is_ended else float("inf")
    opened_at = max((entry.at for entry in around if _shuts(entry, flow) and entry.at < began_at), default=None)
    if opened_at is not None and any(record.held_back is HeldBack.CIRCUIT for record in records):
        began_at = opened_at
    sources = {_pod(record.source) or record.file for record in records}
    is_whole = is_ended and all(record.delivery_count == 0 for record in records)
    return [
        entry
        for entry in around
        if began_at <= entry.at <= ended_at
        and entry.fields.get("flow") in {None, flow}
        and (not is_whole or (entry.source or entry.file) in sources)
    ]


def _shuts(entry: Entry, flow: str | None) -> bool:
    return entry.event in {"circuit_opened", "circuit_isolated"} and entry.fields.get("flow") == flow


def _pod(source: str | None) -> str | None:
    """Without the process."""
    return None if source is None or source.startswith("process ") else source.split(", ", 1)[0]
