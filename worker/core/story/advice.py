"""What to do about the end of a request."""

import shlex
from collections.abc import Mapping
from typing import Final, assert_never

from worker.core.answer import ANSWER_INVALID
from worker.core.outcome import HeldBack, Outcome, Reason
from worker.core.story.record import Leaving, Record

NOTHING: Final = "nothing."

_BY_SENDER: Final = (
    "Its sender has to mend it and send it anew, with an id of its own; replayed as it is, it ends the same."
)

# Names in braces are what `_filled` puts in.
_OF_DEAD_LETTERS: Final[Mapping[Reason, str]] = {
    Reason.MALFORMED: _BY_SENDER,
    Reason.TRUNCATED: (
        "Dataverse stripped what was above its size limit: let the step send fewer columns and images, or the flow "
        'read the record itself and set truncated = "pass"; then {replay}.'
    ),
    Reason.UNROUTABLE: (
        "Add a route, or let its sender name a flow in the property flow; `flowbridge route` tells which route takes a "
        "message. Then {replay}."
    ),
    Reason.RETURN_ADDRESS_NOT_ALLOWED: (
        "Add the queue to servicebus.reply_queues if it is one of yours, then {replay}; else its sender has to use an "
        "allowed one."
    ),
    Reason.RETURN_ADDRESS_INVALID: (
        "Its sender has to set reply_to_session_id to the session that it receives from, of 128 characters at most, "
        "and send it anew."
    ),
    Reason.TOO_LARGE: _BY_SENDER,
    Reason.EXPIRED: (
        "If it is still wanted, {replay}: its time runs anew. If it waited long in the queue, more workers or a larger "
        "worker.concurrency take more at once."
    ),
    Reason.REPLY_UNDELIVERABLE: (
        "Mend the way to the reply queue (`flowbridge check` tries it), and tell its caller by other means: outcome "
        "and run id are in the dead letter. If the flow may run twice, {replay_though_it_ran}."
    ),
    Reason.FLOW_REFUSED: (
        "Look{run} why the flow refused it, and mend the flow or the request. If it is to be called once more, "
        "{replay_refused}."
    ),
    Reason.FLOW_UNAVAILABLE: "It surely did not run: once the flow is well, {replay}.",
    Reason.FLOW_INDETERMINATE: (
        "It may have run: look{its_run} in Power Automate, whether its work is done. If it isn't, or may be done "
        "twice, {replay_though_it_ran}."
    ),
}


def advice(record: Record) -> str:
    """`record`: the delivery that says how the request ended, or where it is."""
    match record.leaving:
        case Leaving.DEAD_LETTERED if record.dead_letter is not None:
            return _filled(_OF_DEAD_LETTERS[record.dead_letter], record)
        case Leaving.DEAD_LETTERED:
            return _filled("Read its description: `flowbridge dead-letters show {id}`.", record)
        case Leaving.COMPLETED:
            return NOTHING if record.outcome is None else _for_outcome(record.outcome, record)
        case Leaving.MOVED:
            return "nothing yet: it goes on when its copy is due. If no later line names it, see that workers receive."
        case Leaving.GIVEN_BACK if record.defect is not None:
            return (
                "Report the defect with its traceback, which is in the log beside this request. The broker gives it "
                "out again, and dead-letters it as MaxDeliveryCountExceeded if that never ends well."
            )
        case Leaving.GIVEN_BACK | Leaving.LOCK_LOST | Leaving.UNCONFIRMED:
            return (
                "nothing yet: the broker gives it out again, to any worker. If no later line names it, see that "
                "workers receive, and that these lines are of all of them."
            )
        case Leaving.UNKNOWN:
            return "Use a flowbridge of the version that wrote this log, or a later one."
        case _:
            assert_never(record.leaving)


def _for_outcome(outcome: Outcome, record: Record) -> str:
    """Of what was replied to, or needed no reply."""
    match outcome:
        case Outcome.ANSWERED:
            return _late(record) or NOTHING
        case Outcome.REFUSED:
            return _filled(_refused(record), record)
        case Outcome.UNAVAILABLE:
            return _unavailable(record)
        case Outcome.INDETERMINATE:
            return _filled(_indeterminate(record), record)
        case Outcome.EXPIRED:
            return (
                "Its caller may send it again. If requests wait long in the queue, more workers or a larger "
                "worker.concurrency take more at once; if the flow is slow, grant it more time (timeout-s)."
            )
        case Outcome.REJECTED:
            return _BY_SENDER
        case _:
            assert_never(outcome)


def _late(record: Record) -> str | None:
    if record.slack_s is None or record.slack_s >= 0:
        return None
    return "The answer came after its caller's time was over: grant more time (timeout-s), or make the flow faster."


def _refused(record: Record) -> str:
    if record.reason == ANSWER_INVALID:
        return "Its caller has the answer's body. Mend the flow's Response, or its answer_schema{run}."
    if record.run_id is not None:
        return "Its caller has the flow's own error. If the flow should have answered otherwise, look{run}."
    if record.http_status in {401, 403}:
        return "Its trigger turned the worker's credentials away: `flowbridge check --probe-flow {flow}` says why."
    if record.http_status == 404:
        return "There is no flow at this URL: see that it is turned on and that its url is the trigger's own."
    if record.http_status is not None and 300 <= record.http_status < 400:
        return "Redirects are not followed: set the flow's url to where it really is."
    if record.http_status == 400:
        return "The request doesn't fit the trigger's schema: its sender, or the trigger, has to be mended."
    return "Its caller has the platform's error; mend what it names, then it may be sent again."


def _unavailable(record: Record) -> str:
    after = "" if record.retry_after_s is None else ", after retry-after-s"
    again = f"Its caller may send it again{after}; the flow did not run."
    match record.held_back:
        case HeldBack.CIRCUIT:
            return f"{again} The circuit closes by itself when the flow answers: see why it failed before."
        case HeldBack.PLACE:
            return f"{again} If the flow can take more, raise its concurrency, rate_per_s or the number of workers."
        case HeldBack.TOKEN:
            return f"{again} `flowbridge check` says what is wrong with the identity."
        case HeldBack.STOP:
            return again
        case None:
            return f"{again} If it stays away, look at the flow's limits and at the platform's state."
        case _:
            assert_never(record.held_back)


def _indeterminate(record: Record) -> str:
    if record.reason == Reason.TOO_LARGE:
        return "The flow ran{run}; its answer is too large: let it answer less, or raise max_response_bytes."
    return (
        "It may have run: look{its_run} in Power Automate, whether its work is done. Its caller may send it again only "
        "if it may be done twice, and with the same idempotency-key."
    )


def _filled(text: str, record: Record) -> str:
    identifier = shlex.quote(record.request_id)
    replay = f"`flowbridge dead-letters replay --message-id {identifier}`"
    though_it_ran = f"`flowbridge dead-letters replay --message-id {identifier} --even-if-it-ran`"
    run = f" at run {record.run_id}" if record.run_id is not None else ""
    return text.format(
        replay=replay,
        replay_though_it_ran=though_it_ran,
        replay_refused=though_it_ran if record.run_id is not None else replay,
        run=run,
        its_run=run or f" for the run with client tracking id {record.request_id}",
        flow=shlex.quote(record.flow or "NAME"),
        id=identifier,
    )
