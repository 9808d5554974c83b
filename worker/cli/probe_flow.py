"""`--probe-flow`: one real call of a flow, and what its answer says about our credentials."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, assert_never
from uuid import uuid4

from worker.cli.finding import Finding, failed, hint, ok
from worker.core.claims import SCHEMA_MISMATCH, claims_of, explain
from worker.core.flow_spec import Auth, FlowSpec, RetrySpec
from worker.core.outcome import Answered, Expired, FlowOutcome, Indeterminate, Refused, Running, Unavailable
from worker.core.request import Call
from worker.core.response import NO_RESPONSE
from worker.flow.client import FlowClient
from worker.flow.token import Credential

TOKEN_WITHIN_S: Final = 20.0
NO_RUN: Final = "No run was started."
_THROTTLED: Final = 429
_TAKEN: Final[dict[Auth, str]] = {
    "identity": "The flow takes our token",
    "sas": "The flow takes its URL's signature (no token was sent)",
    "none": "The flow asks for no credentials (none were sent)",
}


async def probe_flow(name: str, flows: Mapping[str, FlowSpec], credential: Credential) -> Finding:
    """Makes the call, once, with `{}` for a body; a run that it starts is not waited for any longer than an answer."""
    if name not in flows:
        return failed(_title(name), f"there is no flow of this name; there are: {', '.join(sorted(flows))}")
    once = RetrySpec(attempts=1)
    flow = replace(flows[name], retry=once, hedge_after_s=0.0)
    tracking_id = f"flowbridge-probe-{uuid4()}"
    call = Call(
        flow=flow,
        retry=once,
        request_id=tracking_id,
        idempotency_key=tracking_id,
        body=b"{}" if flow.sends_body else None,
        content_type="application/json" if flow.sends_body else None,
        trace={},
        deadline=asyncio.get_running_loop().time() + TOKEN_WITHIN_S + flow.timeout_s,
    )
    async with FlowClient([flow], credential) as client:
        outcome = await client.start(call).run()
    token = credential.held_token(flow.scope) if flow.auth == "identity" else None
    return judged(outcome, flow, token=None if token is None else token.token, tracking_id=tracking_id)


def judged(outcome: FlowOutcome | Running, flow: FlowSpec, *, token: str | None, tracking_id: str) -> Finding:
    """`token`: the one that was shown, None without."""
    name, taken = _title(flow.name), _TAKEN[flow.auth]
    history = f"The run history has this call under {tracking_id}."
    match outcome:
        case Answered() | Refused(run_id=str()):
            run = _run(outcome.run_id)
            return ok(name, f"{taken}: {run} and answered with HTTP {outcome.http_status}. {history}")
        case Running():
            return ok(
                name, f"{taken}: {_run(outcome.run_id)} and will answer later, which we don't wait for. {history}"
            )
        case Refused():
            explained = explain(
                status=outcome.http_status,
                code=outcome.code,
                message=outcome.detail,
                claims=None if token is None else claims_of(token),
                auth=flow.auth,
            )
            if outcome.code == SCHEMA_MISMATCH:
                return ok(name, f"{taken}. {explained}")
            return failed(name, f"{explained} {NO_RUN}")
        case Unavailable():
            return _unavailable(name, outcome)
        case Indeterminate():
            if _has_run(outcome):
                run = _run(outcome.run_id)
                return hint(name, f"{taken}: {run}, but gave no whole answer. {outcome.detail} {history}")
            unknown = "Whether the flow takes our call isn't known, and a run may have started"
            return failed(name, f"{outcome.detail} {unknown}. Look for {tracking_id} in its run history first.")
        case Expired():
            return failed(name, f"{outcome.detail} {NO_RUN}")
    assert_never(outcome)


def _unavailable(name: str, outcome: Unavailable) -> Finding:
    if outcome.http_status == _THROTTLED:
        when = "later" if outcome.retry_after_s is None else f"in {outcome.retry_after_s:g} s"
        judged_or_not = "Throttled; whether our credentials were looked at before that isn't known"
        return hint(name, f"{outcome.detail} {judged_or_not}. {NO_RUN} Probe again {when}.")
    if outcome.attempts == 0:
        return failed(name, f"{outcome.detail} The flow was not called.")
    if outcome.http_status is None:
        advice = "Check the flow's url, and that this host may reach it (DNS, firewall, proxy)."
    else:
        advice = "The platform itself had trouble, and judged nothing of ours: probe again later."
    return failed(name, f"{outcome.detail} {advice} {NO_RUN}")


def _has_run(outcome: Indeterminate) -> bool:
    """A run was cut short, ended without a Response, or takes longer than the platform waits."""
    if outcome.run_id is not None or outcome.code == NO_RESPONSE:
        return True
    return outcome.http_status is not None and (outcome.http_status < 300 or outcome.http_status == 504)


def _run(run_id: str | None) -> str:
    return f"a run started ({run_id or 'its id was not told'})"


def _title(flow_name: str) -> str:
    return f"probe of flow {flow_name!r}"
