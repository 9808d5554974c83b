from structlog.typing import EventDict

from worker.core.breaker import Permit
from worker.core.flow_spec import BreakerSpec, FlowSpec
from worker.core.response import NoAnswer, Response, judge_response, judge_silence
from worker.flow.gate import Gate

SILENCE = judge_silence(NoAnswer(was_sent=False, why="Connection refused."), attempts=1)
ANSWER = judge_response(Response(status=200, body=b"{}"), attempts=1)


async def test_a_circuit_that_opens_and_closes_again_is_told_once_each(said: list[EventDict]) -> None:
    gate = Gate(FlowSpec(name="credit-check", url="http://127.0.0.1/x", breaker=BreakerSpec(min_calls=1, open_s=0.01)))
    for result in (ANSWER, SILENCE, ANSWER, ANSWER):
        permit = await gate.enter(deadline=gate._now() + 5.0)
        assert isinstance(permit, Permit)
        gate.record(permit, result, started_at=gate._now())
        gate.leave(permit)
    told = [(event["event"], event["flow"], event["log_level"]) for event in said]
    assert told == [("circuit_opened", "credit-check", "warning"), ("circuit_closed", "credit-check", "info")]
    assert said[0]["reopens_in_s"] == 0.01
