"""What a refused person is told: what came, what is wrong, what to enter where, and what the token said."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.claims import SHOWN_LIMIT, TokenClaims, claims_of, explain
from worker.core.flow_spec import Auth

AUDIENCE = "https://service.flow.microsoft.com/"
OURS = TokenClaims(aud=AUDIENCE, iss="https://sts.windows.net/T/", tid="T", oid="O-1", appid="C-1")
POLICY = "One or more claims either missing or does not match with the open authentication access control policy."


def token_of(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


def explained(
    status: int,
    code: str | None,
    said: str = "It failed.",
    *,
    claims: TokenClaims | None = OURS,
    auth: Auth = "identity",
) -> str:
    message = f"The platform answered with HTTP {status} {code}: {said}"
    return explain(status=status, code=code, message=message, claims=claims, auth=auth)


@pytest.mark.parametrize(
    ("status", "code", "said", "told"),
    [
        (400, "TriggerInputSchemaMismatch", "x", "looked at after the credentials; so no run started"),
        (400, "WorkflowTriggerIsNotEnabled", "x", "switch it on"),
        (404, "WorkflowNotFound", "x", "Copy the URL from its trigger again"),
        (404, None, "x", "Copy the URL from its trigger again"),
        (405, None, "x", "write the flow's method as the trigger has it"),
        (413, None, "x", "isn't known. Compare the flow's url"),
        (401, "DirectApiAuthorizationRequired", "x", "'Any user in my tenant' or 'Specific users in my tenant'"),
        (401, "DirectApiAuthorizationRequired", "x", 'or copy the whole URL with sig= and write auth = "sas"'),
        (401, "OAuthAccessPolicyNotFound", "x", "has no OAuth policy"),
        (403, "MisMatchingOAuthClaims", POLICY, "The likeliest first: oid: where the trigger allows"),
        (403, "MisMatchingOAuthClaims", POLICY, "put the identity's object id O-1 (not its client id)"),
        (403, "MisMatchingOAuthClaims", POLICY, "'Allowed users'; an empty list allows the whole tenant"),
        (401, "MisMatchingOAuthClaims", POLICY, "The likeliest first: oid"),
        (403, "MisMatchingOAuthClaims", "Wrong audience.", "The claim at fault: aud must be the audience"),
        (403, "MisMatchingOAuthClaims", "The issuer is unknown.", "The claim at fault: tid and iss must be"),
        (403, "MisMatchingOAuthClaims", "'oid' is not allowed.", "The claim at fault: oid"),
        (403, None, "x", "by a policy of the environment (such as its IP firewall) or for a claim"),
        (401, None, "x", "Usually its aud or iss is of another cloud than the flow"),
        (401, "Unauthorized", "x", "set [identity].cloud"),
        (401, "Unauthorized", "x", "disputed whether every new environment URL takes an application's token"),
    ],
)
def test_each_refusal_is_explained_with_what_to_do(status: int, code: str | None, said: str, told: str) -> None:
    text = explained(status, code, said)
    assert text.startswith(f"The platform answered with HTTP {status} {code}: {said} ")
    assert told in text


@pytest.mark.parametrize("code", ["WorkflowTriggerIsNotEnabled", "WorkflowNotFound", "MisMatchingOAuthClaims", None])
def test_our_tokens_claims_are_told_with_every_refusal(code: str | None) -> None:
    told = "Our token says: aud https://service.flow.microsoft.com/, iss https://sts.windows.net/T/, tid T, oid O-1, "
    assert explained(403, code).endswith(f"{told}appid C-1.")


def test_claims_that_were_good_are_not_told() -> None:
    assert "Our token says" not in explained(400, "TriggerInputSchemaMismatch")


@pytest.mark.parametrize("aud", ["https://service.flow.microsoft.com", "7df0a125-d3be-4c96-aa54-591f83ff541c"])
def test_an_audience_that_no_cloud_has_is_the_fault_whatever_is_said(aud: str) -> None:
    claims = TokenClaims(aud=aud, iss=None, tid=None, oid=None, appid=None)
    text = explained(403, "MisMatchingOAuthClaims", POLICY, claims=claims)
    assert "The claim at fault: aud" in text
    assert text.endswith(f"Our token says: aud {aud}, iss missing, tid missing, oid missing, appid missing.")


def test_what_is_no_token_of_entras_is_told_as_such() -> None:
    text = explained(401, None, claims=None)
    assert "no token of Entra's" in text
    assert "Our token says" not in text


@pytest.mark.parametrize(
    ("auth", "status", "code", "told"),
    [
        ("sas", 401, "DirectApiAuthorizationRequired", 'write auth = "identity"'),
        ("sas", 401, None, "copy the whole URL from the trigger again"),
        ("sas", 403, "AuthorizationFailed", "copy the whole URL from the trigger again"),
        ("none", 401, "DirectApiAuthorizationRequired", "the call carried none"),
        ("sas", 404, "WorkflowNotFound", "Copy the URL from its trigger again"),
    ],
)
def test_where_no_token_was_shown_none_is_blamed(auth: Auth, status: int, code: str | None, told: str) -> None:
    text = explained(status, code, auth=auth, claims=None)
    assert told in text
    assert "Our token" not in text


def test_claims_are_read_from_the_token() -> None:
    payload = {"aud": [AUDIENCE, 7], "iss": "i", "tid": "t\x1b[2J", "oid": 5, "azp": "c" * 999, "other": {}}
    assert claims_of(token_of(json.dumps(payload).encode())) == TokenClaims(
        aud=AUDIENCE, iss="i", tid="t[2J", oid=None, appid="c" * SHOWN_LIMIT
    )


@pytest.mark.parametrize(
    "token", ["", "static-token-of-the-emulator", "a.b", "a.b.c", "a.é.c", token_of(b"["), token_of(b"[" * 60_000)]
)
def test_what_is_no_token_has_no_claims(token: str) -> None:
    assert claims_of(token) is None


@given(st.text() | st.binary().map(token_of))
def test_no_text_breaks_the_reading_of_claims(token: str) -> None:
    claims_of(token)


CLAIM = st.none() | st.integers() | st.text() | st.lists(st.integers() | st.text())


@given(st.dictionaries(st.sampled_from(["aud", "iss", "tid", "oid", "appid", "azp"]), CLAIM))
def test_whatever_claims_hold_they_can_be_shown(payload: dict[str, object]) -> None:
    claims = claims_of(token_of(json.dumps(payload).encode()))
    assert claims is not None
    text = explained(403, "MisMatchingOAuthClaims", claims=claims)
    assert text.isprintable()
