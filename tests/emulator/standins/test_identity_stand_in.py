from collections.abc import AsyncIterator

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import ManagedIdentityCredential

from worker.emulator.standins import APP_SERVICE_SECRET, IdentityStandIn, Issue, Refuse, TokenForm
from worker.emulator.standins.identity import IMDS_PATH
from worker.emulator.standins.tokens import read


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityStandIn]:
    async with IdentityStandIn() as identity:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.url)
        yield identity


async def test_azure_identity_takes_and_caches_its_tokens(identity: IdentityStandIn) -> None:
    identity.script(Issue(lifetime_s=3600, refresh_in_s=1800))
    async with ManagedIdentityCredential() as credential:
        first = await credential.get_token("https://service.flow.microsoft.com//.default")
        second = await credential.get_token("https://service.flow.microsoft.com//.default")
    assert first.token == second.token
    claims = read(first.token)
    assert claims is not None
    assert (claims.aud, claims.exp) == ("https://service.flow.microsoft.com/", first.expires_on)
    assert [request.resource for request in identity.requests] == ["https://service.flow.microsoft.com/"]


async def test_azure_identity_understands_its_refusals(identity: IdentityStandIn) -> None:
    identity.script(Refuse(status=400, error="invalid_request", description="Identity not found"))
    async with ManagedIdentityCredential(client_id="nobody") as credential:
        with pytest.raises(ClientAuthenticationError, match="not been assigned"):
            await credential.get_token("https://x/.default")
    assert identity.requests[0].client_id == "nobody"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, {"api-version": "2018-02-01", "resource": "https://x"}),
        ({"Metadata": "true"}, {"api-version": "2018-02-01"}),
        ({"Metadata": "true"}, {"api-version": "2017-01-01", "resource": "https://x"}),
    ],
    ids=["no Metadata", "no resource", "another version"],
)
async def test_a_request_that_imds_would_refuse_is_refused(
    identity: IdentityStandIn, headers: dict[str, str], query: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(identity.url + IMDS_PATH, headers=headers, params=query) as answer,
    ):
        assert answer.status == 400


ASSERTION = {
    "grant_type": "client_credentials",
    "client_id": "c",
    "client_assertion": "a",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "scope": "https://x//.default",
}


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, 200, None),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"client_assertion": ""}, 401, "invalid_client"),
        ({"client_assertion_type": "another"}, 401, "invalid_client"),
        ({"scope": "https://x/"}, 400, "invalid_scope"),
        ({"scope": "/.default"}, 400, "invalid_scope"),
    ],
)
async def test_entra_wants_an_assertion_and_a_scope(
    identity: IdentityStandIn, changes: dict[str, str], status: int, error: str | None
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{identity.url}/tenant/oauth2/v2.0/token", data=ASSERTION | changes) as answer,
    ):
        body = await answer.json()
    assert (answer.status, body.get("error")) == (status, error)
    (asked,) = identity.requests
    assert (asked.form, asked.tenant) == (TokenForm.ENTRA, "tenant")
    if error is None:
        claims = read(body["access_token"])
        assert claims is not None
        assert (claims.aud, claims.tid, claims.appid) == ("https://x/", "tenant", "c")
        assert body["expires_in"] == 86_400


@pytest.mark.parametrize(
    ("secret", "version", "status"),
    [
        (APP_SERVICE_SECRET, "2019-08-01", 200),
        ("another", "2019-08-01", 401),
        (APP_SERVICE_SECRET, "2017-09-01", 400),
    ],
)
async def test_app_service_wants_the_secret_that_it_gave_out(
    identity: IdentityStandIn, secret: str, version: str, status: int
) -> None:
    query = {"api-version": version, "resource": "https://x"}
    async with (
        aiohttp.ClientSession(headers={"X-IDENTITY-HEADER": secret}) as http,
        http.get(identity.app_service_url, params=query) as answer,
    ):
        assert answer.status == status
        body = await answer.json()
    if status == 200:
        assert body["resource"] == "https://x"
        assert int(body["expires_on"]) > 0
        assert "expires_in" not in body
