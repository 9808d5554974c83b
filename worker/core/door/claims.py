"""What an access token of Entra's says, once its signature is proven: who asks, or why that isn't believed."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from worker.core.door.asker import Asker

LEEWAY_S: Final = 60
SHOWN_LIMIT: Final = 100

_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHINA: Final = frozenset({"https://login.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """`why`: a sentence for the log, which never holds the token. `error`: RFC 6750's, None where it has none."""

    status: Literal[401, 403, 503]
    why: str
    error: Literal["invalid_token", "invalid_request"] | None = None


def invalid(why: str) -> Unverified:
    return Unverified(status=401, why=why, error="invalid_token")


def tenant_of(claims: Mapping[str, object], tenants: Collection[str]) -> str | Unverified:
    """The one of `tenants` (lower case) whose keys have to prove the token; so far it's the token's word."""
    tenant = _guid(claims, "tid")
    if tenant is None:
        return invalid("The token names no tenant (tid): it isn't an access token of Entra's.")
    if tenant not in tenants:
        return Unverified(status=403, why=f"The token is of tenant {tenant}, which isn't one of [door] tenants.")
    return tenant


def asker_of(
    claims: Mapping[str, object], *, tenant: str, audiences: Collection[str], authority: str, now: float
) -> Asker | Unverified:
    """`claims` are proven by a key of `tenant`. `authority`: URL, no slash at its end. `now`: epoch seconds."""
    if tenant_of(claims, (tenant,)) != tenant:
        return invalid(f"The token isn't of tenant {tenant}, whose key signed it.")
    application = _application_claim(claims.get("iss"), tenant, authority)
    if application is None:
        return invalid(f"The token's issuer is {shown(claims.get('iss'))}, which isn't tenant {tenant} at {authority}.")
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in audiences:
        return invalid(f"The token is for audience {shown(audience)}, which isn't one of [door] audiences.")
    fault = _fault_of_time(claims, now)
    if fault is not None:
        return invalid(fault)
    return _asker(claims, tenant, application)


def _asker(claims: Mapping[str, object], tenant: str, application: str) -> Asker | Unverified:
    object_id, app_id, roles = _guid(claims, "oid"), _guid(claims, application), claims.get("roles", [])
    if object_id is None:
        return invalid("The token names no object (oid), so it's nobody's.")
    if app_id is None:
        return invalid(f"The token names no application ({application}): it's no access token; an ID token, perhaps.")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        return invalid("The token's roles aren't a list of names.")
    return Asker(tenant_id=tenant, object_id=object_id, app_id=app_id, roles=frozenset(roles))


def _application_claim(issuer: object, tenant: str, authority: str) -> str | None:
    """Named by the issuer's version, 1 or 2. Entra in China signs in under two names, and issues under one of them."""
    is_china = authority in _CHINA
    version_1 = "https://sts.chinacloudapi.cn" if is_china else "https://sts.windows.net"
    version_2 = "https://login.partner.microsoftonline.cn" if is_china else authority
    if not isinstance(issuer, str):
        return None
    return {f"{version_1}/{tenant}/": "appid", f"{version_2}/{tenant}/v2.0": "azp"}.get(issuer.lower())


def _fault_of_time(claims: Mapping[str, object], now: float) -> str | None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if type(expires) is not int or type(begins) is not int:  # a bool is an int, and no time
        return "The token's exp and nbf aren't whole seconds."
    if now >= expires + LEEWAY_S:
        return f"The token expired {now - expires:.0f} s ago."
    if now < begins - LEEWAY_S:
        return f"The token begins in {begins - now:.0f} s. See that the door's clock is right."
    return None


def _guid(claims: Mapping[str, object], name: str) -> str | None:
    claim = claims.get(name)
    return claim.lower() if isinstance(claim, str) and _GUID.fullmatch(claim.lower()) else None


def shown(claim: object) -> str:
    """Fit for a log."""
    return "missing" if claim is None else ascii(claim)[:SHOWN_LIMIT]
