"""Why a request went the way it did."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, assert_never

from worker.core.outcome import HeldBack, NoRetry, Outcome
from worker.core.story.moments import held_back
from worker.core.story.record import Leaving, Record
from worker.core.story.telling import clause, lasting, times

_LONG_S: Final = 1.0


def reasons_of(records: Sequence[Record], telling: Record) -> list[str]:
    """Sentences; none where everything went its plain way. `telling`: the delivery that says how the request ended."""
    told = [*_retries(records), *_moves(records), *_redeliveries(records), *_replays(records), *_end(telling)]
    return list(dict.fromkeys(told))


def _retries(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        failed = [each for each in record.tries[:-1] if each.is_failed]
        if not failed:
            continue
        told = Counter(clause(each.why or "it was cut short") for each in failed)
        whys = "; ".join(why if count == 1 else f"{why} ({times(count)})" for why, count in told.items())
        yield f"The flow was called {times(len(record.tries))}, because {times(len(failed))} it failed: {whys}."
    calls = [record.calls for record in records if record.calls]
    if len(calls) > 1:
        yield f"For all its deliveries together the flow was called {times(sum(calls))}."


def _moves(records: Sequence[Record]) -> Iterator[str]:
    moved = [record for record in records if record.leaving is Leaving.MOVED]
    for by, count in Counter(record.held_back for record in moved if record.held_back is not None).items():
        yield f"It was put off {times(count)} without spending a try, because {held_back(by)}."
    failed = [record for record in moved if record.held_back is None and record.outcome is not None]
    for why, count in Counter(clause(record.detail or f"it was {record.outcome}") for record in failed).items():
        yield f"It was put off {times(count)} for a further try (redelivery_s), because this one failed: {why}."


def _redeliveries(records: Sequence[Record]) -> Iterator[str]:
    missing = sum(map(_missing, _by_message(records)))
    if missing:
        yield (
            f"It had been delivered {times(missing)} before without a line here about the end of that: a worker died "
            "with it, or these are not the lines of all workers."
        )
    if any(record.leaving is Leaving.LOCK_LOST for record in records):
        yield "Its lock was lost while it was worked on, so the broker gave it out again."
    if any(record.leaving is Leaving.UNCONFIRMED for record in records):
        yield "The broker did not confirm its settlement."
    defects = Counter(clause(record.defect) for record in records if record.defect is not None)
    for defect, count in defects.items():
        yield f"A defect of the bridge ended the work on it {times(count)}: {defect}."
    if any(record.is_recalled for record in records):
        yield "The worker remembered what came of an earlier delivery, and did not call the flow again."


def _replays(records: Sequence[Record]) -> Iterator[str]:
    count = len({record.sequence_number for record in records if record.is_replay})
    if count:
        yield f"It was sent again {times(count)} by a replay."


def _end(record: Record) -> Iterator[str]:
    if record.outcome is None:
        return
    if record.leaving is not Leaving.MOVED:
        if record.description is not None:
            yield f"The dead letter says: {clause(record.description)}."
        elif record.outcome is not Outcome.ANSWERED and record.detail is not None:
            yield f"{clause(record.detail)}."
        elif record.held_back is not None:
            yield f"The flow was not called, because {held_back(record.held_back)}."
        yield from _no_further_attempt(record)
    is_late = record.outcome is Outcome.EXPIRED or (record.slack_s is not None and record.slack_s < 0)
    if is_late and record.elapsed_s >= _LONG_S:
        most_s, where = max(
            (record.queue_wait_s, "in the queue"),
            (record.call_s, "in the call of the flow"),
            (record.earlier_s, "before this copy of it came up in the queue"),
        )
        yield f"Of {lasting(record.elapsed_s)} it spent {lasting(most_s)} {where}."


def _no_further_attempt(record: Record) -> Iterator[str]:
    if record.no_retry is not None and "not called again" not in (record.detail or ""):
        yield f"It was not called again, because {_no_retry(record.no_retry)}."


def _no_retry(why: NoRetry) -> str:
    match why:
        case NoRetry.NOT_IDEMPOTENT:
            return "it may have run, and the flow isn't idempotent"
        case NoRetry.ATTEMPTS_SPENT:
            return "no attempt was left (retry.attempts; a copy has one)"
        case NoRetry.NO_TIME:
            return "no further attempt could have ended in time"
        case NoRetry.BUDGET_SPENT:
            return "too many calls of the flow failed of late"
        case NoRetry.ASKED_TO_WAIT:
            return "it asked for a longer wait than a call is held for (retry.max_s)"
        case NoRetry.CIRCUIT:
            return held_back(HeldBack.CIRCUIT)
        case NoRetry.PLACE:
            return held_back(HeldBack.PLACE)
        case NoRetry.TOKEN:
            return held_back(HeldBack.TOKEN)
        case _:
            assert_never(why)


def _by_message(records: Sequence[Record]) -> Iterable[set[int]]:
    """The delivery counts of each of its messages."""
    counts: dict[int | None, set[int]] = {}
    for record in records:
        counts.setdefault(record.sequence_number, set()).add(record.delivery_count)
    return counts.values()


def _missing(counts: set[int]) -> int:
    return max(0, max(counts) + 1 - len(counts))
