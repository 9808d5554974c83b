"""The credential against IMDS as azure-identity speaks it, in sickness and in health."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from azure.core.credentials_async import AsyncTokenCredential

from worker.emulator.standins import Garbage, IdentityStandIn, Issue, Refuse, Stall
from worker.flow import identity as identity_module
from worker.flow import keeper as keeper_module
from worker.flow.token import Credential, IdentitySpec, NoToken

SCOPE = "https://service.flow.microsoft.com//.default"
BUS_SCOPE = "https://servicebus.azure.net/.default"


@pytest.fixture
async def credential(identity: IdentityStandIn) -> AsyncIterator[Credential]:
    async with Credential(IdentitySpec(client_id="11111111-2222-3333-4444-555555555555")) as credential:
        yield credential


def test_it_is_a_credential_to_the_sdk() -> None:
    assert isinstance(Credential(IdentitySpec()), AsyncTokenCredential)


async def test_many_callers_without_a_token_ask_once_for_each_scope(
    credential: Credential, identity: IdentityStandIn
) -> None:
    identity.script(Issue(after_s=0.05))
    tokens = await asyncio.gather(*(credential.get_token(scope) for _ in range(100) for scope in (SCOPE, BUS_SCOPE)))
    assert len({token.token for token in tokens}) == 2
    assert sorted(request.resource for request in identity.requests) == [
        "https://service.flow.microsoft.com/",
        "https://servicebus.azure.net",
    ]
    assert {request.client_id for request in identity.requests} == {"11111111-2222-3333-4444-555555555555"}
    assert len(credential.states()) == 2


async def test_a_token_is_renewed_ahead_without_anybody_asking(
    credential: Credential, identity: IdentityStandIn
) -> None:
    identity.script(Issue(lifetime_s=3))
    first = await credential.get_token(SCOPE)
    await identity.requests.until(2)
    async with asyncio.timeout(2):
        while (await credential.get_token(SCOPE)).token == first.token:  # noqa: ASYNC110 - a renewal is silent
            await asyncio.sleep(0.01)
    assert len(identity.requests) == 2


@pytest.mark.parametrize("outage", [Refuse(status=500), Garbage(), Refuse(status=429, retry_after="3600")])
async def test_an_outage_does_not_touch_the_token_that_is_held(
    credential: Credential, identity: IdentityStandIn, outage: Refuse | Garbage
) -> None:
    identity.script(Issue(lifetime_s=4), outage)
    held = await credential.get_token(SCOPE)
    await identity.requests.until(2)
    assert (await credential.get_token(SCOPE)).token == held.token
    assert (await credential.renewed_token(SCOPE, stale="another")).token == held.token


NO_TOKENS = (
    b"{",
    b"null",
    b'"token"',
    b'{"access_token":"abc"}',
    b'{"access_token":null,"expires_in":"5","resource":"x"}',
    b'{"access_token":"a b","expires_in":"5","resource":"x"}',
    b'{"access_token":"a\\r\\nX: y","expires_in":"5","resource":"x"}',
    b'{"access_token":"abc","expires_in":"soon","resource":"x"}',
    b'{"access_token":"abc","expires_on":"5","resource":"x"}',
)


@pytest.mark.parametrize(
    "behaviour",
    [
        Refuse(status=400, error="invalid_request", description="Identity not found"),
        Refuse(status=500),
        Garbage(),
        *(Garbage(body=body, content_type="application/json") for body in NO_TOKENS),
    ],
)
async def test_no_token_is_said_in_words_that_help(
    credential: Credential, identity: IdentityStandIn, behaviour: Refuse | Garbage
) -> None:
    identity.script(behaviour)
    with pytest.raises(NoToken) as failure:
        await credential.get_token(SCOPE)
    text = str(failure.value)
    assert text.startswith(f"No token for {SCOPE}: ")
    assert '[identity] (kind "managed", client id 11111111-2222-3333-4444-555555555555)' in text
    assert "abc" not in text
    assert credential.states()[0].failure == text
    assert credential.states()[0].usable_s is None


async def test_while_it_backs_off_callers_are_told_at_once(credential: Credential, identity: IdentityStandIn) -> None:
    identity.script(Refuse(status=400))
    for _ in range(20):
        with pytest.raises(NoToken):
            await credential.get_token(SCOPE)
    assert len(identity.requests) <= 2


async def test_it_recovers_by_itself(credential: Credential, identity: IdentityStandIn) -> None:
    identity.script(Refuse(status=400), Issue())
    with pytest.raises(NoToken):
        await credential.get_token(SCOPE)
    await identity.requests.until(2)
    assert (await credential.renewed_token(SCOPE, stale="none")).token
    assert credential.states()[0].failure is None


async def test_a_silent_endpoint_is_given_up(
    credential: Credential, identity: IdentityStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_module, "FETCH_TIMEOUT_S", 0.2)
    identity.script(Stall())
    with pytest.raises(NoToken, match=r"did not answer within 0\.2 s"):
        await credential.get_token(SCOPE)


async def test_a_refused_endpoint_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with IdentityStandIn() as gone:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", gone.url)
    async with Credential(IdentitySpec()) as credential:
        with pytest.raises(NoToken, match="the system-assigned identity"):
            await credential.get_token(SCOPE)


async def test_a_workload_identity_that_is_not_mounted_says_so() -> None:
    async with Credential(IdentitySpec(kind="workload")) as credential:
        with pytest.raises(NoToken, match="tenant_id"):
            await credential.get_token(SCOPE)


async def test_a_token_that_was_refused_is_replaced_once_for_all_callers(
    credential: Credential, identity: IdentityStandIn
) -> None:
    stale = (await credential.get_token(SCOPE)).token
    renewed = await asyncio.gather(*(credential.renewed_token(SCOPE, stale=stale) for _ in range(20)))
    (token,) = {each.token for each in renewed}
    assert token != stale
    assert (await credential.renewed_token(SCOPE, stale=token)).token == token, "one renewal in a while is enough"
    assert len(identity.requests) == 2


async def test_the_static_identity_of_the_emulator_asks_nobody() -> None:
    async with Credential(IdentitySpec(kind="static")) as credential:
        assert (await credential.get_token(SCOPE)).token
        assert (await credential.renewed_token(SCOPE, stale="x")).token
        assert credential.states() == ()


async def test_who_waits_for_a_token_is_released_when_the_credential_closes(identity: IdentityStandIn) -> None:
    identity.script(Stall())
    async with Credential(IdentitySpec()) as credential:
        waiting = asyncio.create_task(credential.get_token(SCOPE))
        await identity.requests.until(1)
    with pytest.raises(NoToken, match="the worker stops"):
        await waiting


async def test_a_credential_that_was_closed_begins_no_fetch(identity: IdentityStandIn) -> None:
    async with Credential(IdentitySpec()) as credential:
        await credential.get_token(SCOPE)
    for scope in (SCOPE, BUS_SCOPE):
        with pytest.raises(NoToken, match="the worker stops"):
            await credential.get_token(scope)
    assert credential.held_token(SCOPE) is None
    assert len(identity.requests) == 1


async def test_a_renewal_waits_for_the_fetch_that_is_under_way_instead_of_asking_again(
    credential: Credential, identity: IdentityStandIn
) -> None:
    identity.script(Issue(lifetime_s=3), Issue(after_s=0.1))
    stale = (await credential.get_token(SCOPE)).token
    await identity.requests.until(2)
    renewed = (await credential.renewed_token(SCOPE, stale=stale)).token
    assert renewed != stale
    await credential.get_token(BUS_SCOPE)  # goes out after whatever the renewal has left behind
    assert len([request for request in identity.requests if request.resource in SCOPE]) == 2


class WallClock:
    """The keeper's, moved by hand: as after a host slept, or its clock was set."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s


async def test_a_token_that_ran_out_unseen_is_fetched_when_somebody_asks(
    credential: Credential, identity: IdentityStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = WallClock()
    monkeypatch.setattr(keeper_module, "time", clock)
    first = await credential.get_token(SCOPE)
    clock.ahead_s = 86_400 - 30
    assert credential.held_token(SCOPE) is None
    tokens = await asyncio.gather(*(credential.get_token(SCOPE) for _ in range(20)))
    assert first.token not in {token.token for token in tokens}
    assert len(identity.requests) == 2


async def test_who_watches_sees_each_end_of_a_fetch_well_or_badly(
    credential: Credential, identity: IdentityStandIn
) -> None:
    identity.script(Refuse(status=400), Issue())
    seen = []
    credential.prepare([SCOPE])
    while not credential.held_token(SCOPE):
        await credential.changed()
        seen.append(credential.states()[0].failure is None)
    assert seen == [False, True]
    assert len(identity.requests) == 2


async def test_no_change_is_lost_between_a_look_and_a_wait_that_begins_later(credential: Credential) -> None:
    look = credential.held_token(SCOPE)
    wait = credential.changed()
    await credential.get_token(SCOPE)
    assert look is None
    await asyncio.wait_for(wait, timeout=5)


async def test_every_watcher_is_woken_by_any_scope_and_by_the_end(identity: IdentityStandIn) -> None:
    async with Credential(IdentitySpec()) as credential:
        watchers = [asyncio.create_task(credential.changed()) for _ in range(3)]
        await credential.get_token(BUS_SCOPE)
        await asyncio.gather(*watchers)
        identity.script(Stall())
        credential.prepare([SCOPE])
        at_the_end = asyncio.create_task(credential.changed())
    await at_the_end
