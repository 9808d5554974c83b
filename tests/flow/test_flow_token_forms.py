"""Each form of identity over the wire, through azure-identity: whom it asks, for what, and as whom."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.emulator.standins import (
    APP_SERVICE_SECRET,
    Garbage,
    IdentityStandIn,
    Refuse,
    Stall,
    TokenBehaviour,
    TokenForm,
)
from worker.emulator.standins.tokens import read
from worker.flow import identity as identity_module
from worker.flow.clouds import CLOUDS, CloudName
from worker.flow.identity import IdentityKind
from worker.flow.token import Credential, IdentitySpec, NoToken

from .certificates import ThrowAwayAuthority
from .connect_proxy import ConnectProxy, connect_proxy

SCOPE = "https://service.flow.microsoft.com//.default"
CLIENT = "11111111-2222-3333-4444-555555555555"
TENANT = "99999999-2222-3333-4444-555555555555"
# As the platform's documentation has them: where each cloud signs in, and the audience its flows want.
AUTHORITIES: dict[CloudName, tuple[str, str]] = {
    "public": ("login.microsoftonline.com", "https://service.flow.microsoft.com/"),
    "gcc": ("login.microsoftonline.com", "https://gov.service.flow.microsoft.us/"),
    "gcc-high": ("login.microsoftonline.us", "https://high.service.flow.microsoft.us/"),
    "dod": ("login.microsoftonline.us", "https://service.flow.appsplatform.us/"),
    "china": ("login.chinacloudapi.cn", "https://service.powerautomate.cn/"),
}
NO_BEARER = b'{"access_token":"a b","expires_in":"5","resource":"x"}'
IN_A_PROCESS = f"""
import asyncio
from worker.flow.token import Credential, IdentitySpec
async def main():
    async with Credential(IdentitySpec(kind="workload", cloud="dod")) as credential:
        print((await credential.get_token("{SCOPE}")).token)
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entra:
    """`stand_in` under the names of all authorities, reached through `proxy`; `token_file` is mounted."""

    stand_in: IdentityStandIn
    proxy: ConnectProxy
    token_file: Path


@pytest.fixture
async def entra(authority: ThrowAwayAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Entra]:
    hosts = {host for host, _ in AUTHORITIES.values()}
    async with (
        IdentityStandIn(ssl_context=authority.server_context(*hosts)) as stand_in,
        connect_proxy(stand_in.port) as proxy,
    ):
        token_file = tmp_path / "federated-token"
        token_file.write_text("of-the-cluster")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
        monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token_file))
        # aiohttp reads SSL_CERT_FILE when it is imported, so this process has to be told otherwise.
        monkeypatch.setitem(identity_module.PIPELINE, "connection_verify", str(authority.pem))
        yield Entra(stand_in=stand_in, proxy=proxy, token_file=token_file)


@pytest.fixture
def app_service(identity: IdentityStandIn, monkeypatch: pytest.MonkeyPatch) -> IdentityStandIn:
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity.app_service_url)
    monkeypatch.setenv("IDENTITY_HEADER", APP_SERVICE_SECRET)
    return identity


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> tuple[IdentityKind, IdentityStandIn]:
    """For tests of every form: the kind that leads to it, and who answers."""
    match request.param:
        case TokenForm.IMDS:
            return "managed", request.getfixturevalue("identity")
        case TokenForm.APP_SERVICE:
            return "managed", request.getfixturevalue("app_service")
        case _:
            return "workload", request.getfixturevalue("entra").stand_in


every_form = pytest.mark.parametrize("endpoint", TokenForm, indirect=True)


async def fetched(spec: IdentitySpec, scope: str = SCOPE) -> str:
    async with Credential(spec) as credential:
        return (await credential.get_token(scope)).token


@every_form
async def test_a_user_assigned_identity_is_named_to_the_endpoint(
    endpoint: tuple[IdentityKind, IdentityStandIn], request: pytest.FixtureRequest
) -> None:
    kind, stand_in = endpoint
    token = await fetched(IdentitySpec(kind=kind, client_id="22222222-2222-3333-4444-555555555555"))
    (asked,) = stand_in.requests
    assert asked.form is request.node.callspec.params["endpoint"]
    assert (asked.client_id, asked.resource) == (
        "22222222-2222-3333-4444-555555555555",
        "https://service.flow.microsoft.com/",
    )
    claims = read(token)
    assert claims is not None
    assert (claims.aud, claims.appid) == (asked.resource, asked.client_id)


@every_form
@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Refuse(status=400, error="invalid_request", description="Nobody here"), "Nobody here"),
        (Refuse(status=429, description="Slow down", retry_after="3600"), "Slow down"),
        (Garbage(body=NO_BEARER, content_type="application/json"), "holds no bearer token"),
        (Garbage(), "Unexpected (content|response)"),
        (Stall(), "did not answer within"),
    ],
    ids=["refused", "told to wait an hour", "no bearer", "no JSON", "no answer"],
)
async def test_an_answer_without_a_token_is_told_in_every_form(
    endpoint: tuple[IdentityKind, IdentityStandIn],
    behaviour: TokenBehaviour,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, stand_in = endpoint
    if isinstance(behaviour, Stall):
        monkeypatch.setattr(identity_module, "FETCH_TIMEOUT_S", 0.3)
    stand_in.script(behaviour)
    with pytest.raises(NoToken, match=told):
        await fetched(IdentitySpec(kind=kind))


async def test_the_identity_header_must_be_the_right_one(
    app_service: IdentityStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    with pytest.raises(NoToken, match="X-IDENTITY-HEADER"):
        await fetched(IdentitySpec())
    assert [asked.form for asked in app_service.requests] == [TokenForm.APP_SERVICE]


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_imds_is_asked_for_the_audience_of_the_clouds_flows(identity: IdentityStandIn, cloud: CloudName) -> None:
    await fetched(IdentitySpec(cloud=cloud), CLOUDS[cloud].flow_scope)
    assert [asked.resource for asked in identity.requests] == [AUTHORITIES[cloud][1]]


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("kind", ["workload", "managed", "default"])
async def test_a_workload_identity_signs_in_at_its_own_cloud(
    entra: Entra, kind: IdentityKind, cloud: CloudName, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "managed":  # without this the SDK would not see that a workload identity is mounted
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.example.com/")
    await fetched(IdentitySpec(kind=kind, cloud=cloud), CLOUDS[cloud].flow_scope)
    host, audience = AUTHORITIES[cloud]
    assert entra.proxy.asked_for == [f"{host}:443"]
    (asked,) = entra.stand_in.requests
    assert (asked.form, asked.tenant, asked.client_id) == (TokenForm.ENTRA, TENANT, CLIENT)
    assert (asked.resource, asked.assertion) == (audience, "of-the-cluster")


async def test_a_mounted_token_that_was_rewritten_is_read_afresh(entra: Entra) -> None:
    async with Credential(IdentitySpec(kind="workload")) as credential:
        stale = (await credential.get_token(SCOPE)).token
        entra.token_file.write_text("rewritten")
        await credential.renewed_token(SCOPE, stale=stale)
    assert [asked.assertion for asked in entra.stand_in.requests] == ["of-the-cluster", "rewritten"]


async def test_an_operators_own_certificate_authority_is_trusted_by_a_fresh_process(
    entra: Entra, authority: ThrowAwayAuthority
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        IN_A_PROCESS,
        env={**os.environ, "SSL_CERT_FILE": str(authority.pem)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    claims = read(out.decode().strip())
    assert claims is not None, err.decode()
    assert (claims.tid, claims.appid) == (TENANT, CLIENT)
    assert entra.proxy.asked_for == ["login.microsoftonline.us:443"]


async def test_an_authority_that_nobody_trusts_is_told_as_such(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(identity_module.PIPELINE, "connection_verify", True)
    with pytest.raises(NoToken, match="CERTIFICATE_VERIFY_FAILED"):
        await fetched(IdentitySpec(kind="workload"))
    assert len(entra.stand_in.requests) == 0


@pytest.mark.parametrize("endpoint", [form for form in TokenForm if form is not TokenForm.ENTRA], indirect=True)
async def test_the_default_identity_finds_the_managed_one(
    endpoint: tuple[IdentityKind, IdentityStandIn], request: pytest.FixtureRequest
) -> None:
    _, stand_in = endpoint
    await fetched(IdentitySpec(kind="default", client_id=CLIENT))
    assert [(asked.form, asked.client_id) for asked in stand_in.requests] == [
        (request.node.callspec.params["endpoint"], CLIENT)
    ]


async def test_the_default_identity_tells_what_each_of_its_sources_said(
    identity: IdentityStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")  # leaves out what a developer is signed in to
    identity.script(Refuse(status=400, error="invalid_request", description="Nobody here"))
    with pytest.raises(NoToken) as failure:
        await fetched(IdentitySpec(kind="default"))
    text = str(failure.value)
    assert "Nobody here" in text
    assert text.count("WorkloadIdentityCredential: ") == 1
