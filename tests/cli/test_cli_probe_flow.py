"""`flowbridge check --probe-flow`: one real call over the wire, and what is made of each answer."""

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from support.house import House

from worker.cli.finding import Finding, Verdict
from worker.cli.probe_flow import probe_flow
from worker.core.flow_spec import FlowSpec
from worker.emulator.standins import (
    Accept,
    Answer,
    Behaviour,
    CutOff,
    FlowStandIn,
    Hang,
    IdentityStandIn,
    PlatformError,
    Refuse,
)
from worker.emulator.standins.tokens import CLIENT, OBJECT, TENANT
from worker.flow.token import Credential, IdentitySpec

from .conftest import RunCommand

SCOPE = "https://service.flow.microsoft.com//.default"
OUR_TOKEN = (
    f"Our token says: aud https://service.flow.microsoft.com/, iss https://sts.windows.net/{TENANT}/, tid {TENANT}, "
    f"oid {OBJECT}, appid {CLIENT}."
)


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityStandIn]:
    async with IdentityStandIn() as identity:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.url)
        yield identity


@pytest.fixture
async def flow() -> AsyncIterator[FlowStandIn]:
    async with FlowStandIn() as flow:
        flow.script("credit-check")
        yield flow


@pytest.fixture
def spec(flow: FlowStandIn, identity: IdentityStandIn) -> FlowSpec:
    """As impatient to repeat as settings allow."""
    return FlowSpec(
        name="credit-check", url=flow.url_of("credit-check"), scope=SCOPE, idempotent=True, hedge_after_s=0.001
    )


async def probed(spec: FlowSpec) -> Finding:
    async with Credential(IdentitySpec()) as credential:
        finding = await probe_flow(spec.name, {spec.name: spec}, credential)
    assert finding.name == "probe of flow 'credit-check'"
    return finding


async def test_a_flow_whose_method_sends_no_body_gets_none(spec: FlowSpec, flow: FlowStandIn) -> None:
    await probed(replace(spec, method="GET"))
    [call] = flow.calls
    assert (call.method, call.body) == ("GET", b"")
    assert "content-type" not in call.headers


@pytest.mark.parametrize(
    ("behaviour", "verdict", "told"),
    [
        (Answer(status=204), Verdict.OK, "The flow takes our token: a run started (08580"),
        (Answer(status=422), Verdict.OK, "and answered with HTTP 422."),
        (Accept(), Verdict.OK, "and will answer later, which we don't wait for."),
        (PlatformError.schema_mismatch(), Verdict.OK, "The flow takes our token."),
        (PlatformError.throttled("7"), Verdict.HINT, "No run was started. Probe again in 7 s."),
        (PlatformError.no_response(), Verdict.HINT, "but gave no whole answer."),
        (PlatformError.gateway_timeout(), Verdict.HINT, "but gave no whole answer."),
        (
            PlatformError(status=503, code="ServiceUnavailable"),
            Verdict.FAILED,
            "probe again later. No run was started.",
        ),
        (CutOff(), Verdict.FAILED, "a run may have started. Look for flowbridge-probe-"),
        (PlatformError(status=400, code="WorkflowTriggerIsNotEnabled"), Verdict.FAILED, "switch it on"),
        (PlatformError(status=404, code="WorkflowNotFound"), Verdict.FAILED, "Copy the URL from its trigger again"),
        (
            PlatformError(status=401, code="DirectApiAuthorizationRequired"),
            Verdict.FAILED,
            "another kind of credential",
        ),
        (PlatformError(status=401, code="OAuthAccessPolicyNotFound"), Verdict.FAILED, "has no OAuth policy"),
        (PlatformError(status=403, code="MisMatchingOAuthClaims"), Verdict.FAILED, f"object id {OBJECT} (not its"),
    ],
)
async def test_each_answer_tells_whether_the_flow_takes_our_token(
    flow: FlowStandIn, spec: FlowSpec, behaviour: Behaviour, verdict: Verdict, told: str
) -> None:
    flow.script("credit-check", behaviour)
    finding = await probed(spec)
    assert told in finding.detail
    assert finding.verdict is verdict
    assert len(flow.calls) == 1, "whatever came, there is one call"
    assert len(flow.polls) == 0


async def test_the_call_can_be_found_in_the_flows_run_history(flow: FlowStandIn, spec: FlowSpec) -> None:
    finding = await probed(replace(spec, method="PUT", hedge_after_s=0.0))
    (call,) = flow.calls
    tracking_id = call.headers["x-ms-client-tracking-id"]
    assert tracking_id == f"flowbridge-probe-{UUID(tracking_id.removeprefix('flowbridge-probe-'))}"
    assert call.headers["idempotency-key"] == tracking_id
    assert (call.method, call.body) == ("PUT", b"{}")
    assert finding.detail.endswith(f"The run history has this call under {tracking_id}.")


async def test_a_refusal_is_told_with_the_claims_of_our_token_and_never_with_the_token(
    flow: FlowStandIn, spec: FlowSpec
) -> None:
    flow.script("credit-check", PlatformError(status=403, code="MisMatchingOAuthClaims", message="Not allowed."))
    finding = await probed(spec)
    assert finding.detail.startswith("The platform answered with HTTP 403 MisMatchingOAuthClaims: Not allowed. ")
    assert finding.detail.endswith(f"{OUR_TOKEN} No run was started.")
    sent = flow.calls[0].headers["authorization"].removeprefix("Bearer ")
    assert not any(part in finding.detail for part in sent.split(".") if part)


async def test_a_token_for_another_audience_is_told_as_such(spec: FlowSpec) -> None:
    finding = await probed(replace(spec, scope="https://vault.azure.net/.default"))
    assert finding.verdict is Verdict.FAILED
    assert "The claim at fault: aud must be the audience of the flow's cloud" in finding.detail
    assert "Our token says: aud https://vault.azure.net, " in finding.detail


async def test_a_plain_401_is_believed_after_a_fresh_token(
    flow: FlowStandIn, identity: IdentityStandIn, spec: FlowSpec
) -> None:
    flow.script("credit-check", PlatformError(status=401, code="Unauthorized"))
    finding = await probed(spec)
    assert "Usually its aud or iss is of another cloud than the flow" in finding.detail
    assert len({call.headers["authorization"] for call in flow.calls}) == len(flow.calls) == len(identity.requests) == 2


async def test_without_a_token_the_flow_is_not_called(
    flow: FlowStandIn, identity: IdentityStandIn, spec: FlowSpec
) -> None:
    identity.script(Refuse(status=400, error="invalid_request", description="Nobody here"))
    finding = await probed(spec)
    assert finding.verdict is Verdict.FAILED
    assert "Nobody here" in finding.detail
    assert finding.detail.endswith("The flow was not called.")
    assert len(flow.calls) == 0


async def test_a_flow_that_does_not_answer_may_have_run(flow: FlowStandIn, spec: FlowSpec) -> None:
    flow.script("credit-check", Hang())
    finding = await probed(replace(spec, timeout_s=0.3, hedge_after_s=0.0))
    assert finding.verdict is Verdict.FAILED
    assert "a run may have started" in finding.detail


async def test_a_host_that_can_not_be_reached_is_told_as_such(spec: FlowSpec) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        finding = await probed(replace(spec, url=f"http://127.0.0.1:{unheard.getsockname()[1]}/x"))
    assert finding.verdict is Verdict.FAILED
    assert "this host may reach it" in finding.detail
    assert finding.detail.endswith("No run was started.")


async def test_of_a_signed_url_its_signature_is_judged(
    flow: FlowStandIn, identity: IdentityStandIn, spec: FlowSpec
) -> None:
    signed = replace(spec, auth="sas", url=flow.url_of("credit-check", sig="TOPSECRET"))
    good = await probed(signed)
    assert good.detail.startswith("The flow takes its URL's signature (no token was sent): a run started (")
    flow.script("credit-check", PlatformError(status=401, code="DirectApiAuthorizationRequired"))
    bad = await probed(signed)
    assert "Our token" not in bad.detail
    assert 'write auth = "identity"' in bad.detail
    assert "TOPSECRET" not in good.detail + bad.detail
    assert len(identity.requests) == 0


async def test_a_flow_without_credentials_is_told_as_such(flow: FlowStandIn, spec: FlowSpec) -> None:
    finding = await probed(replace(spec, auth="none"))
    assert "the call carried none" in finding.detail
    async with FlowStandIn(audience=None) as open_flow:
        open_flow.script("credit-check")
        finding = await probed(replace(spec, auth="none", url=open_flow.url_of("credit-check")))
    assert finding.detail.startswith("The flow asks for no credentials (none were sent): a run started (")


async def test_check_calls_each_named_flow_once_and_says_what_that_may_do(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.flow.script("credit-check")
    for index, name in enumerate(("credit-check", "import", "untouched")):
        monkeypatch.setenv(f"FLOWBRIDGE_FLOWS__{index}__NAME", name)
        monkeypatch.setenv(f"FLOWBRIDGE_FLOWS__{index}__URL", house.flow.url_of(name))
    names = ("credit-check", "import", "nowhere", "import")
    ran = await command("check", "--json", *(part for name in names for part in ("--probe-flow", name)))
    assert ran.status == 1
    assert "Calls credit-check, import with the body {}. This may start a run of each." in ran.err
    found = {each["name"]: (each["verdict"], each["detail"]) for each in json.loads(ran.out)["findings"]}
    assert found["probe of flow 'credit-check'"][0] == "ok"
    assert found["probe of flow 'import'"][0] == "failed", "the platform knows no such workflow"
    assert found["probe of flow 'nowhere'"] == (
        "failed",
        "there is no flow of this name; there are: credit-check, import, untouched",
    )
    assert sorted(call.workflow for call in house.flow.calls) == ["credit-check", "import"]
    assert found["receive requests from queue 'flow-requests'"][0] == "ok"


async def test_a_good_probe_leaves_the_check_good(
    house: House, command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", house.flow.url_of("flow"))
    ran = await command("check", "--probe-flow", "flow")
    assert ran.status == 0
    assert "ok  probe of flow 'flow': The flow takes our token: a run started (" in ran.out.decode()


@pytest.mark.usefixtures("house")
async def test_what_is_no_flow_is_not_announced(command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", "http://127.0.0.1:9/")
    ran = await command("check", "--probe-flow", "nosuch")
    assert ran.status == 1
    assert "run" not in ran.err


async def test_the_help_says_that_a_probe_may_start_a_run(command: RunCommand) -> None:
    ran = await command("check", "--help")
    assert "may start a run" in " ".join(ran.out.decode().split())
