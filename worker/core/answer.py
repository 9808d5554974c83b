"""What a flow may answer."""

from typing import Final

from worker.core.flow_spec import FlowSpec
from worker.core.outcome import Answered, FlowOutcome, Refused, Running

ANSWER_INVALID: Final = "AnswerInvalid"


def as_agreed(outcome: FlowOutcome | Running, flow: FlowSpec) -> FlowOutcome | Running:
    """An answer that breaks the flow's `answer_schema` is no answer; its caller gets its body all the same."""
    if flow.answer_schema is None or not isinstance(outcome, Answered):
        return outcome
    fault = flow.answer_schema.fault(outcome.body.content)
    if fault is None:
        return outcome
    return Refused(
        http_status=outcome.http_status,
        detail=f"The flow ran, but its answer breaks its schema {fault}.",
        attempts=outcome.attempts,
        body=outcome.body,
        run_id=outcome.run_id,
        code=ANSWER_INVALID,
    )
