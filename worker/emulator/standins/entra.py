"""Entra with its signatures: what it issues in each form is signed, and its keys can be fetched.

To whom tokens are shown, `<url>` is the authority. Tokens are of version 1, as a managed identity's are; `signing`
makes any other.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from aiohttp import web

from worker.emulator.standins.identity import IdentityStandIn
from worker.emulator.standins.recorded import Recorded
from worker.emulator.standins.signing import SigningKeys, claims_of_version_1
from worker.emulator.standins.token_behaviours import Garbage, Refuse, Stall
from worker.emulator.standins.tokens import Claims

KEYS_PATH: Final = "/{tenant}/discovery/v2.0/keys"
CONFIGURATION_PATH: Final = "/{tenant}/v2.0/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Publish:
    """The keys."""


KeysBehaviour: TypeAlias = Publish | Refuse | Garbage | Stall


class EntraStandIn(IdentityStandIn):
    """`fetches`: of whose keys. `publishing` is done at each fetch."""

    def __init__(self, signing: SigningKeys | None = None, *, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__(ssl_context=ssl_context)
        self.app.router.add_get(KEYS_PATH, self._publish)
        self.app.router.add_get(CONFIGURATION_PATH, self._configuration)
        self.signing = signing or SigningKeys()
        self.publishing: KeysBehaviour = Publish()
        self.fetches: Recorded[str] = Recorded()

    def token(self, claims: Claims) -> str:
        return self.signing.sign(claims_of_version_1(claims, now=int(time.time())))

    async def _publish(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        self.fetches.add(tenant)
        match self.publishing:
            case Publish():
                return web.json_response(self.signing.document(self._issuer(tenant)))
            case Refuse() as refuse:
                return web.json_response({"error": refuse.error}, status=refuse.status)
            case Garbage(body=body, content_type=content_type):
                return web.Response(body=body, content_type=content_type)
            case Stall():
                await asyncio.Event().wait()  # ends with the caller's connection
                raise web.HTTPServiceUnavailable
        assert_never(self.publishing)

    async def _configuration(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        keys = self.url + KEYS_PATH.format(tenant=tenant)
        return web.json_response({"issuer": self._issuer(tenant), "jwks_uri": keys})

    def _issuer(self, tenant: str) -> str:
        return f"{self.url}/{tenant}/v2.0"
