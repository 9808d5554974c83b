"""The three forms in which a token is asked for: what each asks, what it refuses, and how it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from aiohttp import web

from worker.emulator.standins.token_behaviours import Refuse

APP_SERVICE_SECRET: Final = "identity-header-of-the-stand-in"  # noqa: S105 - worth nothing anywhere else
_DEFAULT: Final = "/.default"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenForm(StrEnum):
    IMDS = "imds"
    APP_SERVICE = "app service"
    ENTRA = "entra"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """`resource`: for Entra its scope without `/.default`. `tenant` and `assertion` are Entra's alone."""

    form: TokenForm
    resource: str
    client_id: str | None
    headers: Mapping[str, str]  # names in lower case
    tenant: str | None = None
    assertion: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    token: str
    resource: str
    client_id: str
    expires_on: int  # epoch seconds
    lifetime_s: int
    refresh_in_s: int | None


def asked_of_imds(request: web.Request) -> tuple[TokenRequest, Refuse | None]:
    asked = _asked_for_resource(request, TokenForm.IMDS)
    if request.headers.get("Metadata") != "true":
        return asked, _bad("Metadata header is missing.")
    return asked, _fault_of_resource(request, "2018-02-01")


def asked_of_app_service(request: web.Request) -> tuple[TokenRequest, Refuse | None]:
    asked = _asked_for_resource(request, TokenForm.APP_SERVICE)
    if request.headers.get("X-IDENTITY-HEADER") != APP_SERVICE_SECRET:
        return asked, Refuse(status=401, error="unauthorized", description="X-IDENTITY-HEADER is not IDENTITY_HEADER.")
    return asked, _fault_of_resource(request, "2019-08-01")


async def asked_of_entra(request: web.Request) -> tuple[TokenRequest, Refuse | None]:
    form = {name: str(value) for name, value in (await request.post()).items()}
    scope, client_id, assertion = form.get("scope", ""), form.get("client_id"), form.get("client_assertion")
    asked = TokenRequest(
        form=TokenForm.ENTRA,
        resource=scope.removesuffix(_DEFAULT),
        client_id=client_id,
        headers=_headers(request),
        tenant=request.match_info["tenant"],
        assertion=assertion,
    )
    if form.get("grant_type") != "client_credentials":
        return asked, _bad("The grant_type is not client_credentials.", error="unsupported_grant_type")
    if not client_id or not assertion or form.get("client_assertion_type") != _ASSERTION_TYPE:
        return asked, Refuse(status=401, error="invalid_client", description="No client_id with a client_assertion.")
    if not scope.endswith(_DEFAULT) or not asked.resource:
        return asked, _bad(f"The scope {scope!r} does not end with {_DEFAULT}.", error="invalid_scope")
    return asked, None


def answer_of(form: TokenForm, issued: Issued) -> dict[str, str | int]:
    """As JSON: IMDS and App Service write numbers as text, Entra doesn't."""
    answer: dict[str, str | int] = {"access_token": issued.token, "token_type": "Bearer"}
    match form:
        case TokenForm.IMDS:
            answer |= {"expires_in": str(issued.lifetime_s), "expires_on": str(issued.expires_on)}
            answer |= {"resource": issued.resource}
        case TokenForm.APP_SERVICE:
            answer |= {"expires_on": str(issued.expires_on), "resource": issued.resource, "client_id": issued.client_id}
        case TokenForm.ENTRA:
            answer |= {"expires_in": issued.lifetime_s, "ext_expires_in": issued.lifetime_s}
        case _:
            assert_never(form)
    if issued.refresh_in_s is not None:
        answer["refresh_in"] = issued.refresh_in_s
    return answer


def refusal(refuse: Refuse) -> web.Response:
    headers = {} if refuse.retry_after is None else {"Retry-After": refuse.retry_after}
    body = {"error": refuse.error, "error_description": refuse.description}
    return web.json_response(body, status=refuse.status, headers=headers)


def _asked_for_resource(request: web.Request, form: TokenForm) -> TokenRequest:
    query = request.query
    return TokenRequest(
        form=form, resource=query.get("resource", ""), client_id=query.get("client_id"), headers=_headers(request)
    )


def _fault_of_resource(request: web.Request, api_version: str) -> Refuse | None:
    if request.query.get("api-version") != api_version:
        return _bad(f"The api-version is not {api_version}.")
    return None if request.query.get("resource") else _bad("resource is missing.")


def _bad(description: str, *, error: str = "invalid_request") -> Refuse:
    return Refuse(status=400, error=error, description=description)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
