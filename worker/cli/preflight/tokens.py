"""Can the identity get the tokens that bus and flows want, and where not, which command mends that?"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from worker.cli.finding import Finding, failed, ok
from worker.cli.preflight.azure import RESOURCE_GROUP, command
from worker.core.claims import claims_of
from worker.flow.token import Credential, NoToken
from worker.settings import IdentitySettings, Settings

BUS_SCOPE: Final = "https://servicebus.azure.net/.default"
IDENTITY: Final = "<identity>"
_UNMATCHED: Final = re.compile(r"AADSTS70021\d*")  # no federated credential for this issuer, subject or audience
_SUBJECT: Final = re.compile(r"[Ss]ubject:? '([^']+)'")
_ISSUER: Final = re.compile(r"[Ii]ssuer:? '([^']+)'")
_NO_SUCH_CLIENT: Final = "AADSTS700016"
_OF_WORKLOAD: Final = ("AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
_LABEL: Final = '{"spec":{"template":{"metadata":{"labels":{"azure.workload.identity/use":"true"}}}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """`object_id`: of the worker's identity, as a token itself says; None where none was had."""

    findings: tuple[Finding, ...]
    object_id: str | None


async def tokens(settings: Settings, credential: Credential, environ: Mapping[str, str]) -> Tokens:
    each = await asyncio.gather(*(_token(settings.identity, credential, scope, environ) for scope in scopes(settings)))
    ids = (object_id for _, object_id in each if object_id is not None)
    return Tokens(
        findings=tuple(finding for finding, _ in each),
        object_id=next(ids, None),
    )


def scopes(settings: Settings) -> Sequence[str]:
    """The bus's first, where it wants a token."""
    bus = [BUS_SCOPE] if settings.servicebus.namespace else []
    flows = [flow.scope for flow in settings.flow_specs().values() if flow.auth == "identity"]
    return list(dict.fromkeys(bus + flows))


def mend(identity: IdentitySettings, why: str, environ: Mapping[str, str]) -> str | None:
    """`why`: what the failure says of itself. None where no command is known to help."""
    if _UNMATCHED.search(why):
        return _federate(why)
    if identity.kind == "default":
        return command("az", "login")
    if identity.kind == "workload" or "KUBERNETES_SERVICE_HOST" in environ:
        return _workload(identity, why, environ)
    if "no response from the IMDS endpoint" in why or "did not answer" in why:
        return "az login\nexport FLOWBRIDGE_IDENTITY__KIND=default  # this host is not on Azure"
    return _assign(identity, environ)


async def _token(
    identity: IdentitySettings, credential: Credential, scope: str, environ: Mapping[str, str]
) -> tuple[Finding, str | None]:
    name = f"token for {scope}"
    try:
        token = await credential.get_token(scope)
    except NoToken as missing:
        why = str(missing)
        return failed(name, why, mend=mend(identity, why, environ), scope=scope), None
    valid_s = token.expires_on - time.time()
    claims = claims_of(token.token)
    object_id = None if claims is None else claims.oid
    detail = f"valid for {valid_s / 3600:.1f} h" + (f", object id {object_id}" if object_id else "")
    facts = {} if claims is None else asdict(claims)
    return ok(name, detail, scope=scope, valid_s=round(valid_s), **facts), object_id


def _federate(why: str) -> str:
    """Entra says what it was shown, and compares it by letter case, too."""
    subject, issuer = _SUBJECT.search(why), _ISSUER.search(why)
    issuer_known = "<issuer>" if issuer is None else issuer[1]
    subject_known = "system:serviceaccount:<namespace>:<service-account>" if subject is None else subject[1]
    create = command(
        *("az", "identity", "federated-credential", "create", "--name", "flowbridge"),
        *("--identity-name", IDENTITY, "--resource-group", RESOURCE_GROUP),
        *("--issuer", issuer_known, "--subject", subject_known, "--audiences", "api://AzureADTokenExchange"),
    )
    if issuer is not None:
        return create
    asked = ("--query", "oidcIssuerProfile.issuerUrl", "--output", "tsv")
    show = command("az", "aks", "show", "--name", "<cluster>", "--resource-group", RESOURCE_GROUP, *asked)
    return f"{show}  # the issuer\n{create}"


def _workload(identity: IdentitySettings, why: str, environ: Mapping[str, str]) -> str | None:
    """The cluster's webhook sets these variables in pods with the label, from the service account's annotation."""
    where = ("--namespace", "<namespace>")
    client_id = identity.client_id or environ.get("AZURE_CLIENT_ID") or "<client-id>"
    annotation = f"azure.workload.identity/client-id={client_id}"
    annotate = command("kubectl", "annotate", "serviceaccount", "<service-account>", *where, "--overwrite", annotation)
    if all(environ.get(name) for name in _OF_WORKLOAD):
        return annotate if _NO_SUCH_CLIENT in why else None
    return "\n".join(
        [
            annotate,
            command("kubectl", "patch", "deployment", "<deployment>", *where, "--patch", _LABEL),
            "export FLOWBRIDGE_IDENTITY__KIND=workload",
        ]
    )


def _assign(identity: IdentitySettings, environ: Mapping[str, str]) -> str:
    """The host has a token endpoint, and it knows no such identity. Without a client id the host's own is meant."""
    is_app = "IDENTITY_ENDPOINT" in environ
    kind, name = ("containerapp", "<app>") if is_app else ("vm", "<vm>")
    words = ["az", kind, "identity", "assign", "--name", name]
    if identity.client_id is not None:
        words += ["--user-assigned" if is_app else "--identities", IDENTITY]
    elif is_app:
        words.append("--system-assigned")
    return command(*words, "--resource-group", RESOURCE_GROUP)
