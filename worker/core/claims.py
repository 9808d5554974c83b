"""What a flow's refusal says about the credentials that were shown to it, for the person who has to mend it."""

import base64
import json
import re
from dataclasses import dataclass, fields
from typing import Final

from worker.core.flow_spec import Auth

SCHEMA_MISMATCH: Final = "TriggerInputSchemaMismatch"
SHOWN_LIMIT: Final = 200

_SET_WHO: Final = "set the trigger's 'Who can trigger the flow?'"
_TAKE_TOKENS: Final = (
    f"Either {_SET_WHO} to 'Any user in my tenant' or 'Specific users in my tenant', save, and copy its new URL; "
    'or copy the whole URL with sig= and write auth = "sas".'
)
# How a message speaks of a claim.
_NAMED: Final = {
    "aud": re.compile(r"\b(aud|audience)\b", re.IGNORECASE),
    "tid": re.compile(r"\b(iss|issuer|tid|tenant)\b", re.IGNORECASE),
    "oid": re.compile(r"\b(oid|appid|object id)\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """As the token itself says, without any proof; None where it doesn't say. `appid` is the client id."""

    aud: str | None
    iss: str | None
    tid: str | None
    oid: str | None
    appid: str | None

    def __str__(self) -> str:
        return ", ".join(f"{claim.name} {getattr(self, claim.name) or 'missing'}" for claim in fields(self))


def claims_of(token: str) -> TokenClaims | None:
    """None for what is no JSON Web Token."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    return TokenClaims(
        aud=_shown(claims.get("aud")),
        iss=_shown(claims.get("iss")),
        tid=_shown(claims.get("tid")),
        oid=_shown(claims.get("oid")),
        appid=_shown(claims.get("appid")) or _shown(claims.get("azp")),
    )


def explain(
    *, status: int | None, code: str | None, message: str, claims: TokenClaims | None, auth: Auth = "identity"
) -> str:
    """What came, what it means, what to do; and, unless they were good, what the claims that were shown say.

    For an answer that no run gave. `message` is a sentence.
    """
    told = [message, _advice(status, code, message, claims, auth)]
    if claims is not None and code != SCHEMA_MISMATCH:
        told.append(f"Our token says: {claims}.")
    return " ".join(told)


def _advice(status: int | None, code: str | None, message: str, claims: TokenClaims | None, auth: Auth) -> str:
    match code, status:
        case "TriggerInputSchemaMismatch", _:
            return "The body broke the trigger's schema, which is looked at after the credentials; so no run started."
        case "WorkflowTriggerIsNotEnabled", _:
            return (
                "The flow is switched off, or was deleted: switch it on (one that does nothing but fail for 14 days is "
                "switched off). Whether it takes our credentials isn't known before."
            )
        case ("WorkflowNotFound", _) | (_, 404):
            return (
                "There is no flow at this URL: it was deleted, or moved to another environment. Copy the URL from its "
                "trigger again."
            )
        case _, 401 | 403:
            return _other_credentials(status, code, message, claims, auth)
        case _, 405:
            return "The trigger wants another method: write the flow's method as the trigger has it."
        case _:
            return "Whether our credentials would be taken isn't known. Compare the flow's url with its trigger's."


def _other_credentials(
    status: int | None, code: str | None, message: str, claims: TokenClaims | None, auth: Auth
) -> str:
    if auth == "none":
        return 'The flow wants credentials, and the call carried none: write auth = "identity" or auth = "sas".'
    if auth == "sas":
        return _refused_signature(code)
    match code:
        case "DirectApiAuthorizationRequired":
            return (
                "The trigger expects another kind of credential than a token: it is open to 'Anyone' who has its "
                f"signed URL. {_TAKE_TOKENS}"
            )
        case "OAuthAccessPolicyNotFound":
            return f"This trigger has no OAuth policy, so it takes nobody's token. {_TAKE_TOKENS}"
        case "MisMatchingOAuthClaims":
            return _mismatch(message, claims)
        case _ if status == 403:
            return (
                "The call isn't allowed, by a policy of the environment (such as its IP firewall) or for a claim of the"
                f" token. {_claims_advice(claims)}"
            )
        case _:
            return _refused_token(claims)


def _refused_signature(code: str | None) -> str:
    if code == "DirectApiAuthorizationRequired":
        return (
            "The trigger expects another kind of credential than a signed URL: a token. Copy its URL, which has lost "
            f"its sig=, and write auth = \"identity\"; or {_SET_WHO} to 'Anyone', save, and copy its new URL."
        )
    return "The URL's signature isn't valid, or not any more: copy the whole URL from the trigger again."


def _mismatch(message: str, claims: TokenClaims | None) -> str:
    fault = _fault_of_audience(claims) or next((name for name, how in _NAMED.items() if how.search(message)), None)
    if fault is not None:
        return f"The claim at fault: {_claim_advice(fault, claims)}"
    return f"One of the token's claims isn't what the trigger allows; which one isn't said. {_claims_advice(claims)}"


def _fault_of_audience(claims: TokenClaims | None) -> str | None:
    """Each cloud's audience is a URL with a slash at its end, and is compared as text."""
    aud = None if claims is None else claims.aud
    return None if aud is None or (aud.startswith("https://") and aud.endswith("/")) else "aud"


def _claims_advice(claims: TokenClaims | None) -> str:
    return "The likeliest first: " + " ".join(_claim_advice(name, claims) for name in ("oid", "tid", "aud"))


def _claim_advice(name: str, claims: TokenClaims | None) -> str:
    match name:
        case "aud":
            return (
                "aud must be the audience of the flow's cloud, with one slash at its end: set [identity].cloud, or "
                "correct the flow's scope (the audience and /.default, hence two slashes)."
            )
        case "tid":
            return "tid and iss must be of the tenant that the flow is in: use an identity of that tenant."
        case _:
            oid = "" if claims is None or claims.oid is None else f" {claims.oid}"
            return (
                f"oid: where the trigger allows 'Specific users in my tenant', put the identity's object id{oid} (not "
                "its client id) into 'Allowed users'; an empty list allows the whole tenant."
            )


def _refused_token(claims: TokenClaims | None) -> str:
    if claims is None:
        return "What was shown is no token of Entra's: check [identity].kind."
    return (
        "The token itself was refused. Usually its aud or iss is of another cloud than the flow: set [identity].cloud, "
        "or correct the flow's scope; and see that this host's clock is right. Where all of that fits: it is disputed "
        "whether every new environment URL takes an application's token; a signed URL, of a trigger open to 'Anyone', "
        'is called with auth = "sas".'
    )


def _shown(claim: object) -> str | None:
    """Fit for a terminal; an audience may be a list."""
    texts = [each for each in (claim if isinstance(claim, list) else [claim]) if isinstance(each, str)]
    return "".join(character for character in " ".join(texts) if character.isprintable())[:SHOWN_LIMIT] or None
