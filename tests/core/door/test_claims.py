from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.door.asker import Asker
from worker.core.door.claims import LEEWAY_S, Unverified, asker_of, tenant_of

TENANT = "7e000000-0000-4000-8000-000000000001"
OBJECT = "0b000000-0000-4000-8000-000000000002"
CLIENT = "c1000000-0000-4000-8000-000000000003"
PUBLIC = "https://login.microsoftonline.com"
NOW = 1_700_000_000

VERSION_1: dict[str, Any] = {
    "aud": "api://door",
    "iss": f"https://sts.windows.net/{TENANT}/",
    "nbf": NOW - 10,
    "exp": NOW + 3600,
    "appid": CLIENT,
    "oid": OBJECT,
    "tid": TENANT,
}
VERSION_2: dict[str, Any] = {
    **{name: claim for name, claim in VERSION_1.items() if name != "appid"},
    "iss": f"{PUBLIC}/{TENANT}/v2.0",
    "azp": CLIENT,
    "roles": ["Ask"],
}


def judged(claims: dict[str, Any], *, authority: str = PUBLIC) -> Asker | Unverified:
    return asker_of(claims, tenant=TENANT, audiences={"api://door"}, authority=authority, now=NOW)


@pytest.mark.parametrize(("claims", "roles"), [(VERSION_1, frozenset()), (VERSION_2, frozenset({"Ask"}))])
def test_a_right_token_says_who_asks(claims: dict[str, Any], roles: frozenset[str]) -> None:
    assert judged(claims) == Asker(tenant_id=TENANT, object_id=OBJECT, app_id=CLIENT, roles=roles)


@pytest.mark.parametrize("claims", [VERSION_1, VERSION_2])
def test_capital_letters_make_no_other_tenant_or_object(claims: dict[str, Any]) -> None:
    loud = claims | {"tid": TENANT.upper(), "oid": OBJECT.upper(), "iss": claims["iss"].replace(TENANT, TENANT.upper())}
    assert judged(loud) == judged(claims)


@pytest.mark.parametrize(
    ("authority", "issuers"),
    [
        (
            "https://login.microsoftonline.us",
            ("https://sts.windows.net/{}/", "https://login.microsoftonline.us/{}/v2.0"),
        ),
        (
            "https://login.chinacloudapi.cn",
            ("https://sts.chinacloudapi.cn/{}/", "https://login.partner.microsoftonline.cn/{}/v2.0"),
        ),
    ],
)
def test_each_cloud_has_issuers_of_its_own(authority: str, issuers: tuple[str, str]) -> None:
    for claims, issuer in zip((VERSION_1, VERSION_2), issuers, strict=True):
        assert isinstance(judged(claims | {"iss": issuer.format(TENANT)}, authority=authority), Asker)
    assert isinstance(judged(VERSION_2, authority=authority), Unverified), "the public cloud's"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"aud": "https://vault.azure.net"}, "vault.azure.net"),
    ({"aud": ["api://door"]}, "audience"),
    ({"aud": None}, "missing"),
    ({"iss": "https://sts.windows.net/7e000000-0000-4000-8000-000000000009/"}, "issuer"),
    ({"iss": f"https://login.example.com/{TENANT}/v2.0"}, "issuer"),
    ({"iss": f"https://sts.windows.net/{TENANT}"}, "issuer"),
    ({"iss": None}, "missing"),
    ({"tid": "7e000000-0000-4000-8000-000000000009"}, TENANT),
    ({"tid": None}, TENANT),
    ({"exp": NOW - LEEWAY_S}, "expired 60 s ago"),
    ({"exp": None}, "whole seconds"),
    ({"exp": True}, "whole seconds"),
    ({"exp": float(NOW + 60)}, "whole seconds"),
    ({"nbf": NOW + LEEWAY_S + 1}, "begins in 61 s"),
    ({"nbf": "soon"}, "whole seconds"),
    ({"oid": None}, "oid"),
    ({"oid": "somebody/else"}, "oid"),
    ({"appid": None, "azp": CLIENT}, "appid"),
    ({"roles": "Ask"}, "roles"),
    ({"roles": [["Ask"]]}, "roles"),
]


@pytest.mark.parametrize(("changes", "word"), WRONG)
def test_a_wrong_claim_is_told(changes: dict[str, Any], word: str) -> None:
    unverified = judged(VERSION_1 | changes)
    assert isinstance(unverified, Unverified)
    assert (unverified.status, unverified.error) == (401, "invalid_token")
    assert word in unverified.why


@pytest.mark.parametrize("changes", [{"exp": NOW - LEEWAY_S + 1}, {"nbf": NOW + LEEWAY_S}])
def test_clocks_may_differ_by_a_minute(changes: dict[str, Any]) -> None:
    assert isinstance(judged(VERSION_1 | changes), Asker)


def test_a_foreign_tenant_is_forbidden() -> None:
    foreign = tenant_of(VERSION_1 | {"tid": "7e000000-0000-4000-8000-000000000009"}, {TENANT})
    assert isinstance(foreign, Unverified)
    assert (foreign.status, foreign.error) == (403, None)
    assert tenant_of(VERSION_1 | {"tid": TENANT.upper()}, {TENANT}) == TENANT


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@settings(max_examples=50)
@given(st.sampled_from([VERSION_1, VERSION_2]), st.dictionaries(st.sampled_from([*VERSION_2, "appid"]), JSON))
def test_whatever_claims_say_it_is_one_line_or_an_asker_of_the_tenant(
    claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    match judged(claims | changes):
        case Asker(tenant_id=tenant):
            assert tenant == TENANT
        case Unverified(why=why):
            assert why.isprintable()
            assert len(why) < 300
