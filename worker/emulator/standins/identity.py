"""The token endpoints of managed and workload identities as azure-identity sees them.

IMDS: `AZURE_POD_IDENTITY_AUTHORITY_HOST=<url>`. azure-identity caches nothing unless `resource` comes back exactly as
asked, and `refresh_in` must be an integer.
App Service and Container Apps: `IDENTITY_ENDPOINT=<app_service_url>` and `IDENTITY_HEADER=<APP_SERVICE_SECRET>`.
Entra, for workload identities: the authority `<url>`, which must be https.
"""

import asyncio
import itertools
import ssl
import time
from typing import Final, assert_never

from aiohttp import web

from worker.emulator.standins.loopback import Loopback
from worker.emulator.standins.recorded import Recorded
from worker.emulator.standins.token_behaviours import Garbage, Issue, Refuse, Stall, TokenBehaviour
from worker.emulator.standins.token_forms import (
    Issued,
    TokenRequest,
    answer_of,
    asked_of_app_service,
    asked_of_entra,
    asked_of_imds,
    refusal,
)
from worker.emulator.standins.tokens import CLIENT, TENANT, Claims, issue

IMDS_PATH: Final = "/metadata/identity/oauth2/token"
APP_SERVICE_PATH: Final = "/msi/token"
ENTRA_PATH: Final = "/{tenant}/oauth2/v2.0/token"


class IdentityStandIn(Loopback):
    """Does each of its script in turn, whoever asks; the last one stays. `requests` holds everything that was asked."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.app = web.Application()
        self.app.router.add_get(IMDS_PATH, self._imds)
        self.app.router.add_get(APP_SERVICE_PATH, self._app_service)
        self.app.router.add_post(ENTRA_PATH, self._entra)
        super().__init__(self.app, ssl_context=ssl_context)
        self._script: list[TokenBehaviour] = [Issue()]
        self._serial = itertools.count(1)
        self.requests: Recorded[TokenRequest] = Recorded()

    @property
    def app_service_url(self) -> str:
        return self.url + APP_SERVICE_PATH

    def script(self, *behaviours: TokenBehaviour) -> None:
        self._script = list(behaviours) or [Issue()]

    def token(self, claims: Claims) -> str:
        return issue(claims)

    async def _imds(self, request: web.Request) -> web.Response:
        return await self._answer(*asked_of_imds(request))

    async def _app_service(self, request: web.Request) -> web.Response:
        return await self._answer(*asked_of_app_service(request))

    async def _entra(self, request: web.Request) -> web.Response:
        return await self._answer(*await asked_of_entra(request))

    async def _answer(self, asked: TokenRequest, fault: Refuse | None) -> web.Response:
        self.requests.add(asked)
        if fault is not None:
            return refusal(fault)
        behaviour = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        match behaviour:
            case Issue():
                await asyncio.sleep(behaviour.after_s)
                return self._issued(behaviour, asked)
            case Refuse():
                return refusal(behaviour)
            case Garbage():
                return web.Response(body=behaviour.body, content_type=behaviour.content_type)
            case Stall():
                await asyncio.Event().wait()  # ends with the caller's connection
                raise web.HTTPServiceUnavailable
        assert_never(behaviour)

    def _issued(self, behaviour: Issue, asked: TokenRequest) -> web.Response:
        expires_on = int(time.time()) + behaviour.lifetime_s
        claims = Claims(
            aud=asked.resource,
            exp=expires_on,
            jti=str(next(self._serial)),
            tid=asked.tenant or TENANT,
            appid=asked.client_id or CLIENT,
        )
        issued = Issued(
            token=self.token(claims),
            resource=asked.resource,
            client_id=claims.appid,
            expires_on=expires_on,
            lifetime_s=behaviour.lifetime_s,
            refresh_in_s=behaviour.refresh_in_s,
        )
        return web.json_response(answer_of(asked.form, issued))
