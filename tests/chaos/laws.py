"""What must hold for every request, whatever happens to the workers (the README's crash table names the exceptions)."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from chaos.callers import unheard
from chaos.flows import FLOWS
from chaos.plan import Asked, Way, Wrong
from chaos.records import Call, Ending, Replied, Violation
from chaos.traces import Trace

ANSWERED_ONCE: Final = "every caller has exactly one answer, or its request a dead letter"
OWN_SESSION: Final = "an answer goes into its caller's session, with its request's id"
TRUE: Final = "an answer says what the flow did"
REPLY_FIRST: Final = "reply first, then complete"
ONE_WAY: Final = "a one-way request is completed after an answer, or dead-lettered with a reason"
ADDRESS: Final = "nobody is called for, or answered at, an address that isn't allowed"
ONE_CALL: Final = "the worker that made a call that may have run makes no other"
AFTER_CRASH: Final = "another worker calls again only as after_crash allows it"
REASONS: Final = frozenset(
    {
        *Wrong,
        "Truncated",
        "TooLarge",
        "Expired",
        "ReplyUndeliverable",
        "FlowRefused",
        "FlowUnavailable",
        "FlowIndeterminate",
    }
)
REDELIVERED: Final = "a redelivery, after_crash = call"
TWO_BRANCHES: Final = "a copy and its original were both worked on"
AFTER_ITS_REPLY: Final = "called again between reply and complete"


@dataclass(slots=True)
class Admitted:
    """Second calls, and answers that a later call belied, by the row of the crash table that admits them."""

    rows: Counter[str] = field(default_factory=Counter)


def check_request(trace: Trace, admitted: Admitted) -> Iterator[Violation]:
    asked = trace.asked
    if asked is None:
        yield Violation(
            law=ANSWERED_ONCE, what="something was said of a request that nobody made", request_id=trace.request_id
        )
        return
    if not trace.branches:  # never came to the queue
        return
    said: list[tuple[str, str]] = []

    def say(law: str, what: str) -> None:
        said.append((law, what))

    if asked.wrong in {Wrong.NOT_ALLOWED, Wrong.NO_SESSION}:
        _check_address(trace, asked, say)
    elif asked.way is Way.ONE_WAY:
        _check_one_way(trace, asked, say)
    else:
        _check_answer(trace, asked, say, admitted)
    _check_endings(trace, asked, say)
    if not FLOWS[asked.flow].is_idempotent:
        _check_calls(trace, asked, say, admitted)
    for law, what in said:
        yield Violation(law=law, what=what, request_id=trace.request_id)


Say = Callable[[str, str], None]


def _check_address(trace: Trace, asked: Asked, say: Say) -> None:
    if trace.calls or trace.replies:
        say(ADDRESS, f"{len(trace.calls)} calls and {len(trace.replies)} replies")
    if [each.reason for each in trace.dead] != [asked.wrong]:
        say(ADDRESS, f"expected a dead letter {asked.wrong}, got {[each.reason for each in trace.dead]}")


def _check_answer(trace: Trace, asked: Asked, say: Say, admitted: Admitted) -> None:
    visible = trace.visible
    if len(visible) > 1:
        say(ANSWERED_ONCE, f"{len(visible)} answers are seen: {[reply.outcome for _, reply in visible]}")
    if not visible and not trace.dead:
        say(ANSWERED_ONCE, "it was neither answered nor dead-lettered")
    session = asked.session if asked.way is Way.REQUESTER else unheard(asked.session)
    for _, reply in trace.replies:
        if reply.session != session or reply.correlation_id != trace.request_id:
            say(OWN_SESSION, f"into {reply.session!r} for {reply.correlation_id!r}, not into {session!r}")
    for _, reply in visible:
        why_not = _why_untrue(trace, asked, reply, admitted)
        if why_not is not None:
            say(TRUE, f"{reply.outcome}, but {why_not}")
    if asked.wrong is not None and [each.reason for each in trace.dead] != [asked.wrong]:
        say(ANSWERED_ONCE, f"expected a dead letter {asked.wrong}, got {[each.reason for each in trace.dead]}")


def _why_untrue(trace: Trace, asked: Asked, reply: Replied, admitted: Admitted) -> str | None:
    calls, outcome = trace.calls, reply.outcome
    if (outcome == "rejected") != (asked.wrong is not None):
        return "nothing was wrong with the request" if asked.wrong is None else f"it was {asked.wrong}"
    match outcome:
        case "answered":
            return None if reply.body in {call.body for call in calls if call.body} else "no run answered so"
        case "refused":
            refusals = {Ending.REFUSED, Ending.TURNED_AWAY}
            return None if any(call.ending in refusals for call in calls) else "no call was refused"
        case "unavailable" | "expired":
            runs = [call for call in calls if call.may_have_run]
            if any(call.at <= reply.at for call in runs):
                return f"{runs[0].run} may have run"
            admitted.rows[AFTER_ITS_REPLY] += bool(runs)
            return None
        case "indeterminate":
            return None if _is_in_doubt(trace) else "nothing was in doubt"
        case "rejected":
            return "the flow was called" if calls else None
        case _:
            return "there is no such outcome"


def _is_in_doubt(trace: Trace) -> bool:
    return (
        any(call.may_have_run and call.ending not in {Ending.ANSWERED, Ending.REFUSED} for call in trace.calls)
        or any(
            trace.timed_out_at(call.by, FLOWS[call.flow].call_s) or trace.is_cut_by_a_stop(call) for call in trace.calls
        )
        or any(holding.delivered.count > 0 or holding.how == "lost" for holding in trace.holdings)
        or len(trace.branches) > 1
    )


def _check_one_way(trace: Trace, asked: Asked, say: Say) -> None:
    if trace.replies:
        say(ONE_WAY, f"it was answered: {[reply.outcome for _, reply in trace.replies]}")
    for dead in trace.dead:
        runs = [call for call in trace.calls if call.may_have_run]
        match dead.reason:
            case "FlowRefused" if not any(c.ending in {Ending.REFUSED, Ending.TURNED_AWAY} for c in trace.calls):
                say(TRUE, "FlowRefused, but no call was refused")
            case "FlowUnavailable" if runs and runs[0].at < _ended_at(trace, dead.branch):
                say(TRUE, f"FlowUnavailable, but {runs[0].run} may have run")
            case "FlowIndeterminate" if not _is_in_doubt(trace):
                say(TRUE, "FlowIndeterminate, but nothing was in doubt")
            case _:
                pass
    if asked.wrong is not None and [each.reason for each in trace.dead] != [asked.wrong]:
        say(ONE_WAY, f"expected a dead letter {asked.wrong}, got {[each.reason for each in trace.dead]}")


def _ended_at(trace: Trace, branch: str) -> float:
    ended = [holding.ended_at for holding in trace.branches[branch].holdings if holding.ended_at is not None]
    return ended[-1] if ended else float("inf")


def _check_endings(trace: Trace, asked: Asked, say: Say) -> None:
    for dead in trace.dead:
        if dead.reason not in REASONS or not dead.description:
            say(ANSWERED_ONCE, f"dead-lettered with {dead.reason!r}: {dead.description!r}")
    first_reply = min((index for index, _ in trace.visible), default=None)
    for name, branch in trace.branches.items():
        if branch.how != "complete" or branch.ended is None or trace.is_alive(branch.ended, but=name):
            continue
        if asked.has_caller and (first_reply is None or first_reply > branch.ended):
            say(REPLY_FIRST, f"{name} was completed {'before' if first_reply else 'without'} its reply")
        is_dead = any((trace.branches[dead.branch].ended or branch.ended) < branch.ended for dead in trace.dead)
        has_answered = any(call.body is not None and call.at < _ended_at(trace, name) for call in trace.calls)
        if asked.way is Way.ONE_WAY and not (has_answered or is_dead):  # its copy may have come to its end before it
            say(ONE_WAY, f"{name} was completed, but no run had answered")
    ends = [branch.ended for branch in trace.branches.values()]
    last = max((end for end in ends if end is not None), default=None)
    if None not in ends and last is not None and first_reply is not None and first_reply > last:
        say(REPLY_FIRST, "it was answered after its request was gone")


def _check_calls(trace: Trace, asked: Asked, say: Say, admitted: Admitted) -> None:
    calls = sorted(trace.calls, key=lambda call: call.at)
    for number, call in enumerate(calls):
        earlier = [each for each in calls[:number] if _may_have_run_by(each, call.at)]
        if any(each.by == call.by for each in earlier):
            say(ONE_CALL, f"{call.by} made {call.run} after {[each.run for each in earlier if each.by == call.by]}")
        elif earlier:
            row = _row(trace, asked, call)
            if row is None:
                before = [f"{each.run} of {each.by}" for each in earlier]
                say(
                    AFTER_CRASH,
                    f"{call.by} made {call.run} after {before}, on a first delivery or against its flow's word",
                )
            else:
                admitted.rows[row] += 1


def _may_have_run_by(call: Call, at: float) -> bool:
    """As it was known then: a call that is under way may have run, however it ends."""
    return call.may_have_run or call.ended_at is None or call.ended_at > at


def _row(trace: Trace, asked: Asked, call: Call) -> str | None:
    """Of the crash table, that admits a second call."""
    if FLOWS[asked.flow].after_crash == "indeterminate":
        return None
    if trace.redelivered_to(call.by, call.at):
        return REDELIVERED
    is_branched = len(trace.branches) > 1 and any(holding.delivered.count > 0 for holding in trace.holdings)
    return TWO_BRANCHES if is_branched else None
