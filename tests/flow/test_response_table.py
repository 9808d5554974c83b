"""Every row of the platform's table of responses, over the wire: the outcome, and who may be called again."""

from dataclasses import dataclass

import pytest
from support.flows import QUICK, Caller, spec_of

from worker.core.outcome import Answered, Indeterminate, Refused, Unavailable
from worker.emulator.standins import Answer, FlowStandIn, GatewayAnswer, PlatformError

ALL = QUICK.attempts
BYTES = b"\x00\xff\r\n{"
FAR_DATE = "Fri, 31 Dec 9999 23:59:59 GMT"
LONG_PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`calls` reach a flow that isn't idempotent, `calls_if_idempotent` one that is, when it goes on answering so."""

    answer: Answer | PlatformError | GatewayAnswer
    outcome: type[Answered | Refused | Unavailable | Indeterminate]
    calls: int
    calls_if_idempotent: int
    code: str | None = None
    has_run: bool = False
    body: bytes | None = None
    retry_after_s: float | None = None


def answered(answer: Answer | GatewayAnswer, *, has_run: bool = True) -> Row:
    return Row(answer=answer, outcome=Answered, calls=1, calls_if_idempotent=1, has_run=has_run, body=answer.body)


def refused_by_the_run(answer: Answer, *, code: str | None = None) -> Row:
    return Row(
        answer=answer, outcome=Refused, calls=1, calls_if_idempotent=1, has_run=True, body=answer.body, code=code
    )


def refused(answer: PlatformError | GatewayAnswer, *, calls: int = 1) -> Row:
    return Row(answer=answer, outcome=Refused, calls=calls, calls_if_idempotent=calls, code=code_of(answer))


def not_run(answer: PlatformError | GatewayAnswer, *, calls: int = ALL, retry_after_s: float | None = None) -> Row:
    return Row(
        answer=answer,
        outcome=Unavailable,
        calls=calls,
        calls_if_idempotent=calls,
        code=code_of(answer),
        retry_after_s=retry_after_s,
    )


def in_doubt(answer: PlatformError | GatewayAnswer) -> Row:
    has_run = isinstance(answer, PlatformError) and answer.has_run
    return Row(
        answer=answer,
        outcome=Indeterminate,
        calls=1,
        calls_if_idempotent=ALL,
        code=code_of(answer),
        has_run=has_run,
    )


def code_of(answer: PlatformError | GatewayAnswer) -> str | None:
    return answer.code if isinstance(answer, PlatformError) else None


TABLE = {
    "200": answered(Answer(body=BYTES)),
    "201 without a body": answered(Answer(status=201, body=b"")),
    "200 without a run id": answered(GatewayAnswer(status=200, body=BYTES), has_run=False),
    "202 without Location": answered(Answer(status=202, body=b"")),
    "204": answered(Answer(status=204, body=b"", content_type=None)),
    "302": refused(GatewayAnswer(status=302, headers={"Location": "/elsewhere"})),
    "302 of a run": refused_by_the_run(Answer(status=302, body=BYTES, headers={"Location": "/elsewhere"})),
    "307 to the same trigger": refused(GatewayAnswer(status=307, headers={"Location": "invoke?api-version=1"})),
    "400 schema": refused(PlatformError.schema_mismatch()),
    "400 switched off": refused(PlatformError(status=400, code="WorkflowTriggerIsNotEnabled")),
    "400 of a run": refused_by_the_run(Answer(status=400, body=BYTES)),
    "401 direct": refused(PlatformError(status=401, code="DirectApiAuthorizationRequired")),
    "401 policy": refused(PlatformError(status=401, code="OAuthAccessPolicyNotFound")),
    "401 with another code": refused(PlatformError(status=401, code="ExpiredToken"), calls=2),
    "401 without a body": refused(GatewayAnswer(status=401), calls=2),
    "401 of a run": refused_by_the_run(Answer(status=401, body=b"")),
    "403 claims": refused(PlatformError(status=403, code="MisMatchingOAuthClaims")),
    "404": refused(PlatformError(status=404, code="WorkflowNotFound")),
    "404 of a run with a code": refused_by_the_run(
        Answer(status=404, body=b'{"error":{"code":"NoSuchAccount"}}'), code="NoSuchAccount"
    ),
    "413 with a code": refused(PlatformError(status=413, code="RequestEntityTooLarge")),
    "413 without a body": refused(GatewayAnswer(status=413)),
    "429 without Retry-After": not_run(PlatformError(status=429, code="WorkflowTriggerRunsThrottled")),
    "429 in no time": not_run(PlatformError.throttled("0"), retry_after_s=0.0),
    "429 past the deadline": not_run(PlatformError.throttled("30"), calls=1, retry_after_s=30.0),
    "429 until a date that has passed": not_run(PlatformError.throttled(LONG_PAST), retry_after_s=0.0),
    "429 until a far date": not_run(PlatformError.throttled(FAR_DATE), calls=1, retry_after_s=999_999_999.0),
    "429 without a body": not_run(GatewayAnswer(status=429)),
    "429 page": not_run(GatewayAnswer.page(429)),
    "429 of a run": refused_by_the_run(Answer(status=429, body=BYTES, headers={"Retry-After": "0"})),
    "500 with a code": not_run(PlatformError(status=500, code="InternalServerError")),
    "500 without a body": in_doubt(GatewayAnswer(status=500)),
    "500 page": in_doubt(GatewayAnswer.page(500)),
    "500 of a run": refused_by_the_run(Answer(status=500, body=BYTES)),
    "502 NoResponse": in_doubt(PlatformError.no_response()),
    "502 NoResponse without a run id": in_doubt(PlatformError(status=502, code="NoResponse")),
    "502 with another code": in_doubt(PlatformError(status=502, code="BadGateway")),
    "502 without a body": in_doubt(GatewayAnswer(status=502)),
    "502 page": in_doubt(GatewayAnswer.page(502)),
    "502 of a run": refused_by_the_run(Answer(status=502, body=BYTES)),
    "503 with a code": not_run(
        PlatformError(status=503, code="ServiceUnavailable", retry_after="0"), retry_after_s=0.0
    ),
    "503 without a body": in_doubt(GatewayAnswer(status=503, headers={"Retry-After": "0"})),
    "503 page": in_doubt(GatewayAnswer.page(503)),
    "503 of a run": refused_by_the_run(Answer(status=503, body=BYTES)),
    "504 of a run": in_doubt(PlatformError.gateway_timeout()),
    "504 with a code": in_doubt(PlatformError(status=504, code="GatewayTimeout")),
    "504 without a body": in_doubt(GatewayAnswer(status=504)),
}


@pytest.mark.parametrize("is_idempotent", [False, True], ids=["once", "idempotent"])
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
async def test_each_response_ends_as_the_table_says(
    caller: Caller, flow: FlowStandIn, *, row: Row, is_idempotent: bool
) -> None:
    flow.script("x", row.answer)
    outcome = await caller.call(spec_of(flow.url_of("x"), idempotent=is_idempotent))
    assert isinstance(outcome, row.outcome)
    assert len(flow.calls) == outcome.attempts == (row.calls_if_idempotent if is_idempotent else row.calls)
    assert outcome.http_status == row.answer.status
    seen = {name: getattr(outcome, name, None) for name in ("code", "run_id", "body", "retry_after_s")}
    assert seen["code"] == row.code
    assert (seen["run_id"] is not None) == row.has_run
    assert (None if seen["body"] is None else seen["body"].content) == row.body
    assert seen["retry_after_s"] == row.retry_after_s
