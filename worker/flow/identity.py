"""One fetch of a token through azure-identity, and its failure in words.

Each fetch builds azure-identity's credential anew: there is no other way past its cache, a mounted token file is read
fresh, and nothing is left open between fetches.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline import PipelineResponse
from azure.identity import CredentialUnavailableError
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential, WorkloadIdentityCredential

from worker.core.redaction import redact
from worker.flow.clouds import CLOUDS, CloudName

IdentityKind: TypeAlias = Literal["managed", "workload", "default", "static"]

FETCH_TIMEOUT_S: Final = 15.0
REASON_LIMIT: Final = 400
_BEARER: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySpec:
    kind: IdentityKind = "managed"
    client_id: str | None = None
    cloud: CloudName = "public"


class NoToken(ClientAuthenticationError):
    """No token can be had now; the text says for what, why, and what to do.

    An azure-core error, so that callers of the Service Bus SDK recognise it as its cause.
    """


def _never_obey(response: PipelineResponse[Any, Any]) -> None:
    """The SDK would sleep for as long as an answer asks, without a bound and without a word to those who wait."""
    for name in ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms"):
        response.http_response.headers.pop(name, None)


# One layer retries, and that is ours; two quick ones bridge a hiccup of the metadata service.
PIPELINE: Final[dict[str, Any]] = {
    "connection_timeout": 5,
    "read_timeout": 10,
    "retry_total": 2,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 5,
    "raw_response_hook": _never_obey,
}


async def fetch_token(spec: IdentitySpec, scope: str) -> AccessToken:
    """Raises `NoToken`, after `FETCH_TIMEOUT_S` at the latest."""
    try:
        async with asyncio.timeout(FETCH_TIMEOUT_S), _source(spec) as source:
            token = await source.get_token(scope)
    except TimeoutError as error:
        why = f"the token endpoint did not answer within {FETCH_TIMEOUT_S:g} s"
        raise _no_token(scope, why, spec) from error
    except CredentialUnavailableError as error:
        raise _no_token(scope, _reason(error), spec) from error
    except Exception as error:  # azure-identity lets ValueError, KeyError and more through on garbage
        raise _no_token(scope, f"{type(error).__name__}: {_reason(error)}", spec) from error
    flaw = _flaw(token)
    if flaw is not None:
        raise _no_token(scope, flaw, spec)
    return token


def _source(spec: IdentitySpec) -> AsyncTokenCredential:
    authority = CLOUDS[spec.cloud].authority
    match spec.kind:
        case "managed":
            # Where only a workload identity is mounted, that one is taken; the authority is for it.
            return ManagedIdentityCredential(client_id=spec.client_id, authority=authority, **PIPELINE)
        case "workload":
            return WorkloadIdentityCredential(client_id=spec.client_id, authority=authority, **PIPELINE)
        case "default":
            return _default(spec.client_id, authority)
        case "static":
            raise ValueError("a static identity asks no endpoint")


def _default(client_id: str | None, authority: str) -> AsyncTokenCredential:
    """The SDK's chain keeps `authority` from its workload identity, which would sign in to the public cloud."""
    known = {} if client_id is None else {"managed_identity_client_id": client_id}
    chain = DefaultAzureCredential(authority=authority, **known, **PIPELINE)
    chain.credentials = tuple(
        WorkloadIdentityCredential(client_id=client_id, authority=authority, **PIPELINE)
        if isinstance(each, WorkloadIdentityCredential)
        else each
        for each in chain.credentials
    )
    return chain


def _no_token(scope: str, why: str, spec: IdentitySpec) -> NoToken:
    nameless = "the system-assigned identity" if spec.kind == "managed" else "the client id of AZURE_CLIENT_ID"
    identity = nameless if spec.client_id is None else f"client id {spec.client_id}"
    return NoToken(
        f"No token for {scope}: {why}. Check that this host can reach its token endpoint and that [identity] "
        f'(kind "{spec.kind}", {identity}) is assigned to it.'
    )


def _flaw(token: AccessToken) -> str | None:
    """What makes a token endpoint's answer unusable. The SDK passes on whatever JSON held."""
    text: object = token.token
    if not (isinstance(text, str) and _BEARER.fullmatch(text)):
        return "the token endpoint's answer holds no bearer token"
    if token.expires_on <= time.time():
        return "the token endpoint handed out an expired token (is this host's clock right?)"
    return None


def _reason(error: Exception) -> str:
    """The first line; of a chain's error the line of each credential, because its first one says nothing."""
    lines = redact(str(error)).strip().splitlines() or ["no reason given"]
    of_chain = [line for line in lines if line.startswith("\t")]
    return "; ".join(line.strip()[:REASON_LIMIT].rstrip(". ") for line in of_chain or lines[:1])
