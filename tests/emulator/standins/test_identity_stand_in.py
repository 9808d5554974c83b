from collections.abc import AsyncIterator

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import ManagedIdentityCredential

from worker.emulator.standins import IdentityStandIn, Issue, Refuse
from worker.emulator.standins.identity import TOKEN_PATH
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
    [({}, {"resource": "https://x"}), ({"Metadata": "true"}, {})],
    ids=["no Metadata", "no resource"],
)
async def test_a_request_that_imds_would_refuse_is_refused(
    identity: IdentityStandIn, headers: dict[str, str], query: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(identity.url + TOKEN_PATH, headers=headers, params=query) as answer,
    ):
        assert answer.status == 400
