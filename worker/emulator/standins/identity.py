"""The Instance Metadata Service as azure-identity sees it.

`AZURE_POD_IDENTITY_AUTHORITY_HOST=<url>` sends azure-identity here. It caches nothing unless `resource` comes back
exactly as asked, and `refresh_in` must be an integer.
"""

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from aiohttp import web

from worker.emulator.standins.loopback import Loopback
from worker.emulator.standins.recorded import Recorded
from worker.emulator.standins.tokens import Claims, issue

TOKEN_PATH: Final = "/metadata/identity/oauth2/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """`lifetime_s` is told as `expires_in`; `refresh_in_s` only where given."""

    lifetime_s: int = 86_400
    refresh_in_s: int | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    status: int
    error: str = "server_error"
    description: str = "The stand-in was told to refuse."
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A 200 that holds no token: HTML, broken JSON, or fields of the wrong type."""

    body: bytes = b"<html>not a token</html>"
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class Stall:
    """No answer."""


TokenBehaviour: TypeAlias = Issue | Refuse | Garbage | Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    resource: str
    client_id: str | None
    headers: Mapping[str, str]  # names in lower case


class IdentityStandIn(Loopback):
    """Does each of its script in turn; the last one stays. `requests` holds everything that was asked."""

    def __init__(self) -> None:
        app = web.Application()
        app.router.add_get(TOKEN_PATH, self._token)
        super().__init__(app)
        self._script: list[TokenBehaviour] = [Issue()]
        self._serial = itertools.count(1)
        self.requests: Recorded[TokenRequest] = Recorded()

    def script(self, *behaviours: TokenBehaviour) -> None:
        self._script = list(behaviours) or [Issue()]

    async def _token(self, request: web.Request) -> web.Response:
        resource = request.query.get("resource", "")
        self.requests.add(
            TokenRequest(
                resource=resource,
                client_id=request.query.get("client_id"),
                headers={name.lower(): value for name, value in request.headers.items()},
            )
        )
        if request.headers.get("Metadata") != "true":
            return _refusal(Refuse(status=400, error="invalid_request", description="Metadata header is missing."))
        if not resource:
            return _refusal(Refuse(status=400, error="invalid_request", description="resource is missing."))
        behaviour = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        match behaviour:
            case Issue():
                await asyncio.sleep(behaviour.after_s)
                return self._issued(behaviour, resource)
            case Refuse():
                return _refusal(behaviour)
            case Garbage():
                return web.Response(body=behaviour.body, content_type=behaviour.content_type)
            case Stall():
                await asyncio.Event().wait()  # ends with the caller's connection
                raise web.HTTPServiceUnavailable
        assert_never(behaviour)

    def _issued(self, behaviour: Issue, resource: str) -> web.Response:
        expires_on = int(time.time()) + behaviour.lifetime_s
        token = issue(Claims(aud=resource, exp=expires_on, jti=str(next(self._serial))))
        answer: dict[str, str | int] = {
            "access_token": token,
            "expires_in": str(behaviour.lifetime_s),
            "expires_on": str(expires_on),
            "resource": resource,
            "token_type": "Bearer",
        }
        if behaviour.refresh_in_s is not None:
            answer["refresh_in"] = behaviour.refresh_in_s
        return web.json_response(answer)


def _refusal(refuse: Refuse) -> web.Response:
    headers = {} if refuse.retry_after is None else {"Retry-After": refuse.retry_after}
    body = {"error": refuse.error, "error_description": refuse.description}
    return web.json_response(body, status=refuse.status, headers=headers)
