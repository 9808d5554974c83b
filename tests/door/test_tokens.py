"""Tokens as callers bring them, checked against keys that come over real HTTP."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import aiohttp
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from worker.core.door.asker import Asker
from worker.core.door.claims import Unverified
from worker.door import keys as keys_module
from worker.door import tokens as tokens_module
from worker.door.keys import AHEAD_S, FRESH_S, KEPT_S, PAUSE_S, PAUSE_WITHOUT_KEYS_S
from worker.door.tokens import REMEMBERED_S, TOKEN_LIMIT_BYTES, Tokens, TokenSpec
from worker.emulator.standins import EntraStandIn, Garbage, Publish, Refuse, Stall
from worker.emulator.standins.entra import KeysBehaviour
from worker.emulator.standins.identity import IMDS_PATH
from worker.emulator.standins.signing import (
    SigningKeys,
    claims_of_version_1,
    claims_of_version_2,
    new_key,
    segment,
    sign,
)
from worker.emulator.standins.tokens import CLIENT, OBJECT, TENANT, Claims

AUDIENCE = "api://door"
FOREIGN = "7e000000-0000-4000-8000-000000000009"
NOW = 1_800_000_000
ASKER = Asker(tenant_id=TENANT, object_id=OBJECT, app_id=CLIENT)
Log: TypeAlias = list[Any]


@dataclass
class Clock:
    """Both of the door's: `s` since some time, and the epoch's."""

    s: float = 0.0

    def __call__(self) -> float:
        return self.s

    def epoch(self) -> float:
        return NOW + self.s


@dataclass
class Door:
    entra: EntraStandIn
    tokens: Tokens
    clock: Clock = field(default_factory=Clock)

    def token(
        self, *, header: Mapping[str, object] | None = None, key: RSAPrivateKey | None = None, **changes: Any
    ) -> str:
        """A right one, but for what is given."""
        signing = self.entra.signing
        claims = claims_of_version_1(Claims(aud=AUDIENCE, exp=NOW + 3600, jti="1"), now=NOW) | changes
        if header is None and key is None:
            return signing.sign(claims)
        assert key is not None
        return sign({"typ": "JWT", "alg": "RS256", "kid": signing.key_id, **(header or {})}, claims, key)

    async def asker_of(self, token: str) -> Asker | Unverified:
        return await self.tokens.asker_of(f"Bearer {token}")

    async def refused(self, token: str) -> tuple[int, str | None]:
        unverified = await self.asker_of(token)
        assert isinstance(unverified, Unverified), unverified
        assert not any(part in unverified.why for part in token.split(".") if len(part) > 8)
        return unverified.status, unverified.error


INVALID = (401, "invalid_token")


@asynccontextmanager
async def opened(key: RSAPrivateKey) -> AsyncIterator[Door]:
    clock = Clock()
    async with EntraStandIn(SigningKeys(key)) as entra, aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        spec = TokenSpec(
            tenants=frozenset({TENANT.upper()}), audiences=frozenset({AUDIENCE}), authority=f"{entra.url}/"
        )
        yield Door(entra, Tokens(spec, http=http, tasks=tasks, clock=clock, epoch=clock.epoch), clock)


@pytest.fixture(scope="session")
def key() -> RSAPrivateKey:
    return new_key()


@pytest.fixture(scope="session")
def other_key() -> RSAPrivateKey:
    return new_key()


@pytest.fixture
async def door(key: RSAPrivateKey) -> AsyncIterator[Door]:
    async with opened(key) as door:
        yield door


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as log:
        yield log


async def test_a_managed_identitys_token_says_who_asks(door: Door) -> None:
    assert await door.asker_of(door.token()) == ASKER
    assert list(door.entra.fetches) == [TENANT]


async def test_a_token_of_version_2_says_who_asks(door: Door) -> None:
    given = Claims(aud=AUDIENCE, exp=NOW + 3600, jti="1")
    claims = claims_of_version_2(given, authority=door.entra.url, now=NOW) | {"roles": ["Ask"]}
    asker = await door.asker_of(door.entra.signing.sign(claims))
    assert asker == Asker(tenant_id=TENANT, object_id=OBJECT, app_id=CLIENT, roles=frozenset({"Ask"}))


async def test_what_imds_issues_passes(door: Door) -> None:
    query = {"api-version": "2018-02-01", "resource": AUDIENCE}
    async with (
        aiohttp.ClientSession(headers={"Metadata": "true"}) as http,
        http.get(door.entra.url + IMDS_PATH, params=query) as answer,
    ):
        token = (await answer.json())["access_token"]
    door.clock.s = time.time() - NOW
    assert await door.asker_of(token) == ASKER


async def test_the_configuration_names_issuer_and_keys(door: Door) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{door.entra.url}/{TENANT}/v2.0/.well-known/openid-configuration") as answer,
    ):
        assert await answer.json() == {
            "issuer": f"{door.entra.url}/{TENANT}/v2.0",
            "jwks_uri": f"{door.entra.url}/{TENANT}/discovery/v2.0/keys",
        }


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"aud": "https://vault.azure.net"}, INVALID),
        ({"exp": NOW - 60}, INVALID),
        ({"nbf": NOW + 61}, INVALID),
        ({"iss": f"https://sts.windows.net/{FOREIGN}/"}, INVALID),
        ({"oid": None}, INVALID),
        ({"tid": FOREIGN}, (403, None)),
        ({"tid": "common"}, INVALID),
        ({"tid": f"../{TENANT}"}, INVALID),
    ],
)
async def test_a_signed_token_with_a_wrong_claim_is_refused(
    door: Door, changes: dict[str, Any], refusal: tuple[int, str | None]
) -> None:
    assert await door.refused(door.token(**changes)) == refusal


async def test_keys_of_a_foreign_tenant_are_never_fetched(door: Door) -> None:
    await door.refused(door.token(tid=FOREIGN))
    assert len(door.entra.fetches) == 0


async def test_unsigned_tokens_are_refused(door: Door) -> None:
    header, claims, _ = door.token().split(".")
    for algorithm in ("none", "None", "NONE", "", None):
        forged = segment(json.dumps({"alg": algorithm, "kid": door.entra.signing.key_id}).encode())
        assert await door.refused(f"{forged}.{claims}.") == INVALID
    assert await door.refused(f"{header}.{claims}.") == INVALID


async def test_the_public_key_is_nobodys_secret(door: Door, key: RSAPrivateKey) -> None:
    _, claims, _ = door.token().split(".")
    header = segment(json.dumps({"alg": "HS256", "kid": door.entra.signing.key_id}).encode())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signature = segment(hmac.digest(public, f"{header}.{claims}".encode(), "sha256"))
    assert await door.refused(f"{header}.{claims}.{signature}") == INVALID


async def test_another_key_under_the_same_id_proves_nothing(door: Door, other_key: RSAPrivateKey) -> None:
    assert await door.refused(door.token(key=other_key)) == INVALID


async def test_keys_that_a_token_brings_along_are_not_looked_at(door: Door, other_key: RSAPrivateKey) -> None:
    published = SigningKeys(other_key)
    document: Any = published.document("https://login.example.com")
    for extra in ({"jku": door.entra.url}, {"x5u": door.entra.url}, {"jwk": document["keys"][0]}):
        header = {**extra, "kid": published.key_id}
        assert await door.refused(door.token(key=other_key, header=header)) == INVALID
    assert set(door.entra.fetches) == {TENANT}


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"alg": "RS512"}, {"alg": ["RS256"]}]
)
async def test_other_ways_to_sign_are_refused(door: Door, key: RSAPrivateKey, extra: dict[str, object]) -> None:
    assert await door.refused(door.token(key=key, header=extra)) == INVALID


@pytest.mark.parametrize("key_id", [None, "", 7, True, ["a"], {"a": 1}, "x" * 5000, "../keys", "\ud800\0"])
async def test_odd_key_ids_are_refused(door: Door, key: RSAPrivateKey, key_id: object) -> None:
    assert await door.refused(door.token(key=key, header={"kid": key_id})) == INVALID


async def test_a_claim_that_is_there_twice_is_refused(door: Door, key: RSAPrivateKey) -> None:
    header, claims, _ = door.token().split(".")
    twice = base64.urlsafe_b64decode(claims + "==")[:-1] + f',"oid":"{OBJECT}"}}'.encode()
    signature = sign_text(f"{header}.{segment(twice)}", key)
    assert await door.refused(f"{header}.{segment(twice)}.{signature}") == INVALID


def sign_text(signed: str, key: RSAPrivateKey) -> str:
    return segment(key.sign(signed.encode(), PKCS1v15(), SHA256()))


@pytest.mark.parametrize(
    "claims", [b"[]", b"7", b"{", b"", b"\xff", b'{"exp":NaN}', b"[" * 12_000, b'{"exp":' + b"9" * 5000 + b"}"]
)
async def test_signed_garbage_is_refused(door: Door, key: RSAPrivateKey, claims: bytes) -> None:
    header, _, _ = door.token().split(".")
    signed = f"{header}.{segment(claims)}"
    assert await door.refused(f"{signed}.{sign_text(signed, key)}") == INVALID


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        (None, (401, None)),
        ("", (401, None)),
        ("Basic dXNlcjpwYXNz", (401, None)),
        ("Bearerabc", (401, None)),
        ("Bearer", (401, "invalid_request")),
        ("bearer  ", (401, "invalid_request")),
        ("Bearer abc", INVALID),
        ("Bearer a.b", INVALID),
        ("Bearer a.b.c", INVALID),
        ("Bearer ..", INVALID),
        ("Bearer a.b.c.d.e", INVALID),
        ("Bearer é.é.é", INVALID),
        ("Bearer e30.e30.e30, Bearer e30.e30.e30", INVALID),
        ("Bearer e30.e30.e30\n", INVALID),
        ("Bearer \udcff.\0.a", INVALID),
    ],
)
async def test_other_headers_are_refused(door: Door, value: str | None, refusal: tuple[int, str | None]) -> None:
    unverified = await door.tokens.asker_of(value)
    assert isinstance(unverified, Unverified)
    assert (unverified.status, unverified.error) == refusal
    assert len(door.entra.fetches) == 0


async def test_a_scheme_in_other_letters_is_the_same(door: Door) -> None:
    assert await door.tokens.asker_of(f"bEARER  {door.token()} ") == ASKER


async def test_a_huge_token_is_refused_unread(door: Door) -> None:
    token = door.token(roles=["x" * TOKEN_LIMIT_BYTES])
    unverified = await door.asker_of(token)
    assert isinstance(unverified, Unverified)
    assert "longer" in unverified.why
    assert len(door.entra.fetches) == 0


async def test_no_letter_of_a_token_can_be_another(door: Door) -> None:
    token = door.token()
    assert await door.asker_of(token) == ASKER
    for place, letter in enumerate(token):
        # "A" and "B" differ in the lowest bit only, which at a part's end may be one that says nothing.
        for other in {chr(ord(letter) ^ 1), "A", "."} - {letter}:
            changed = token[:place] + other + token[place + 1 :]
            assert isinstance(await door.asker_of(changed), Unverified), (place, other)
    assert isinstance(await door.asker_of(token + "="), Unverified)
    assert isinstance(await door.asker_of(token[:-1]), Unverified)


async def test_many_at_once_share_one_fetch(door: Door) -> None:
    tokens = [door.token(jti=str(number)) for number in range(20)]
    assert await asyncio.gather(*map(door.asker_of, tokens)) == [ASKER] * 20
    assert len(door.entra.fetches) == 1


async def test_a_fetch_goes_on_when_its_first_caller_leaves(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "FETCH_S", 0.1)
    door.entra.publishing = Stall()
    first = asyncio.create_task(door.asker_of(door.token()))
    await door.entra.fetches.until(1)
    second = asyncio.create_task(door.asker_of(door.token()))
    first.cancel()
    unverified = await second
    assert isinstance(unverified, Unverified)
    assert unverified.status == 503
    assert "no answer within 0.1 s" in unverified.why
    assert len(door.entra.fetches) == 1


async def test_new_keys_are_fetched_once_when_a_token_names_one(door: Door, other_key: RSAPrivateKey) -> None:
    old = door.token()
    assert await door.asker_of(old) == ASKER
    door.entra.signing.rotate(other_key)
    new = [door.token(jti=str(number)) for number in range(5)]
    assert await asyncio.gather(*map(door.asker_of, [*new, old])) == [ASKER] * 6
    assert len(door.entra.fetches) == 2


async def test_a_key_that_was_withdrawn_proves_nothing_more(door: Door, other_key: RSAPrivateKey) -> None:
    old = door.token()
    assert await door.asker_of(old) == ASKER
    door.entra.signing.rotate(other_key)
    door.entra.signing.withdraw_old()
    assert await door.asker_of(door.token()) == ASKER
    door.clock.s += REMEMBERED_S
    assert await door.refused(old) == INVALID


async def test_made_up_key_ids_cannot_flood_the_endpoint(door: Door, key: RSAPrivateKey) -> None:
    async def flood() -> None:
        forged = [door.token(key=key, header={"kid": f"made-up-{number}"}) for number in range(30)]
        assert await asyncio.gather(*map(door.refused, forged)) == [INVALID] * 30

    await flood()  # before any is held
    await flood()
    await flood()
    assert len(door.entra.fetches) == 2
    door.clock.s += PAUSE_S
    await flood()
    assert len(door.entra.fetches) == 3
    assert await door.asker_of(door.token()) == ASKER


OUTAGES: list[KeysBehaviour] = [
    Refuse(status=500),
    Refuse(status=302),
    Garbage(),
    Garbage(body=b'{"keys":[]}'),
    Garbage(body=b'{"keys":7}'),
    Garbage(
        body=b'{"keys":[7,{"kid":"a"},{"kid":"a","kty":"RSA","n":"!","e":"AQAB"},{"kid":"b","kty":"oct","k":"YQ"}]}'
    ),
    Garbage(body=b" " * 300_000),
]


@pytest.mark.parametrize("outage", OUTAGES)
async def test_without_keys_the_door_is_not_available(door: Door, outage: KeysBehaviour, log: Log) -> None:
    door.entra.publishing = outage
    token = door.token()
    assert await door.refused(token) == (503, None)
    assert await door.refused(token) == (503, None)
    assert len(door.entra.fetches) == 1, "it is not asked for each request"
    assert [line["event"] for line in log] == ["signing_keys_not_fetched"]
    door.entra.publishing = Publish()
    door.clock.s += PAUSE_WITHOUT_KEYS_S
    assert await door.asker_of(token) == ASKER


async def test_keys_are_kept_for_a_day_more_while_no_newer_are_to_be_had(door: Door, key: RSAPrivateKey) -> None:
    async def asked() -> Asker | Unverified:
        return await door.asker_of(door.token(exp=NOW + 400_000))

    assert await asked() == ASKER
    door.entra.publishing = Refuse(status=500)
    door.clock.s = FRESH_S
    assert await asked() == ASKER
    assert await door.refused(door.token(key=key, header={"kid": "new?"}, exp=NOW + 400_000)) == (503, None)
    door.clock.s = KEPT_S - 1
    assert await asked() == ASKER
    await door.entra.fetches.until(4)
    door.clock.s += REMEMBERED_S
    unverified = await asked()
    assert isinstance(unverified, Unverified)
    assert unverified.status == 503


async def test_keys_are_fetched_ahead_while_those_held_serve(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "FETCH_S", 0.1)
    assert await door.asker_of(door.token(exp=NOW + 400_000)) == ASKER
    old = door.token(exp=NOW + 400_000)
    door.entra.publishing = Stall()
    door.clock.s = AHEAD_S
    assert await door.asker_of(old) == ASKER
    await door.entra.fetches.until(2)


async def test_old_keys_are_not_used_where_new_ones_are_to_be_had(door: Door, other_key: RSAPrivateKey) -> None:
    token = door.token(exp=NOW + 400_000)
    assert await door.asker_of(token) == ASKER
    door.entra.signing.rotate(other_key)
    door.entra.signing.withdraw_old()
    door.clock.s = FRESH_S
    assert await door.refused(token) == INVALID


async def test_short_keys_and_those_of_other_issuers_are_left_out(door: Door, other_key: RSAPrivateKey) -> None:
    short = generate_private_key(public_exponent=65_537, key_size=1024)
    right: Any = door.entra.signing.document(f"{door.entra.url}/{{tenantid}}/v2.0")
    weak: Any = SigningKeys(short).document("")
    foreign: Any = SigningKeys(other_key).document(f"{door.entra.url}/{FOREIGN}/v2.0")
    del weak["keys"][0]["issuer"]
    document = {"keys": right["keys"] + weak["keys"] + foreign["keys"]}
    door.entra.publishing = Garbage(body=json.dumps(document).encode())
    assert await door.asker_of(door.token()) == ASKER
    for made in (short, other_key):
        assert await door.refused(door.token(key=made, header={"kid": SigningKeys(made).key_id})) == INVALID


async def test_a_proven_token_ends_when_it_expires(door: Door) -> None:
    token = door.token(exp=NOW + 100)
    assert await door.asker_of(token) == ASKER
    door.clock.s = 160
    assert await door.refused(token) == INVALID


async def test_no_more_tokens_are_remembered_than_fit(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED", 3)
    for number in range(10):
        assert await door.asker_of(door.token(jti=str(number))) == ASKER
    assert len(door.tokens._proven) == 3


async def test_no_log_holds_a_token(door: Door, other_key: RSAPrivateKey, log: Log) -> None:
    tokens = [door.token(), door.token(key=other_key), door.token(tid=FOREIGN), door.token(exp=NOW - 99)]
    door.entra.publishing = Refuse(status=500)
    said = [await door.asker_of(token) for token in tokens]
    door.entra.publishing = Publish()
    door.clock.s += PAUSE_WITHOUT_KEYS_S
    said += [await door.asker_of(token) for token in tokens]
    text = f"{log} {said}"
    assert "signing_keys_not_fetched" in text
    assert "expired" in text
    assert not any(part in text for token in tokens for part in token.split("."))
