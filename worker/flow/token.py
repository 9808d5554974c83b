"""The worker's identity: a credential that outlives the outages of its token endpoint.

azure-identity alone asks once per concurrent caller, refuses a managed identity's valid token once half its life has
passed and the refresh fails, and obeys any Retry-After. So one task per scope asks ahead of time, and callers are
served from what it holds. Each fetch builds azure-identity's credential anew: there is no other way past its cache,
a mounted token file is read fresh, and nothing is left open between fetches.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential, WorkloadIdentityCredential

from worker.core.redaction import redact
from worker.flow.clouds import CLOUDS, CloudName

IdentityKind: TypeAlias = Literal["managed", "workload", "default", "static"]

FETCH_TIMEOUT_S: Final = 15.0
WAIT_LIMIT_S: Final = 20.0  # what a caller waits where no token is held
MARGIN_S: Final = 60.0  # a token is not used in its last minute
RENEWAL_PAUSE_S: Final = 30.0  # at most one forced renewal in this time, whatever flows answer
BACKOFF_LIMIT_S: Final = 60.0
BACKOFF_LIMIT_WITHOUT_TOKEN_S: Final = 5.0
# One layer retries, and that is ours; two quick ones bridge a hiccup of the metadata service.
PIPELINE: Final[dict[str, Any]] = {
    "connection_timeout": 5,
    "read_timeout": 10,
    "retry_total": 2,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 5,
}
_BEARER: Final = re.compile(r"[!-~]+")
_STATIC: Final = AccessToken("static-token-of-the-emulator", 2**33)  # opens nothing else, and never expires


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySpec:
    kind: IdentityKind = "managed"
    client_id: str | None = None
    cloud: CloudName = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """`usable_s`: how long the held token may still be used, None without one. `failure`: what the last fetch said."""

    scope: str
    usable_s: float | None
    failure: str | None


class NoToken(ClientAuthenticationError):
    """No token can be had now; the text says for what, why, and what to do.

    An azure-core error, so that callers of the Service Bus SDK recognise it as its cause.
    """


class Credential:
    """An azure-core `AsyncTokenCredential`, and the flows' source of tokens."""

    def __init__(self, spec: IdentitySpec) -> None:
        self._spec = spec
        self._keepers: dict[str, _Keeper] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def prepare(self, scopes: Iterable[str]) -> None:
        """Begin to fetch ahead of the first call."""
        if self._spec.kind != "static":
            for scope in scopes:
                self._keeper(scope)

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,  # noqa: ARG002 - azure-core's signature; no server of ours asks for claims
        tenant_id: str | None = None,  # noqa: ARG002 - likewise
        enable_cae: bool = False,  # noqa: ARG002 - likewise
        **_: object,
    ) -> AccessToken:
        """Raises `NoToken`, after `WAIT_LIMIT_S` at the latest."""
        (scope,) = scopes
        if self._spec.kind == "static":
            return _STATIC
        return await self._keeper(scope).token()

    def held_token(self, scope: str) -> AccessToken | None:
        """What `get_token` would return without waiting."""
        if self._spec.kind == "static":
            return _STATIC
        keeper = self._keepers.get(scope)
        return None if keeper is None else keeper.held()

    async def renewed_token(self, scope: str, *, stale: str) -> AccessToken:
        """Another token than `stale`, which a flow didn't accept, if one can be had; else the one that is held."""
        if self._spec.kind == "static":
            return await self.get_token(scope)
        return await self._keeper(scope).renewed(stale)

    def states(self) -> tuple[TokenState, ...]:
        """One per scope that was ever asked for."""
        return tuple(keeper.state() for keeper in self._keepers.values())

    async def close(self) -> None:
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            await keeper.close()

    def _keeper(self, scope: str) -> "_Keeper":
        keeper = self._keepers.get(scope)
        if keeper is None:
            keeper = self._keepers[scope] = _Keeper(scope, self._fetch)
        return keeper

    async def _fetch(self, scope: str) -> AccessToken:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S), _source(self._spec) as source:
                token = await source.get_token(scope)
        except TimeoutError as error:
            why = f"the token endpoint did not answer within {FETCH_TIMEOUT_S:g} s"
            raise _no_token(scope, why, self._spec) from error
        except CredentialUnavailableError as error:
            raise _no_token(scope, _first_line(error), self._spec) from error
        except Exception as error:  # azure-identity lets ValueError, KeyError and more through on garbage
            raise _no_token(scope, f"{type(error).__name__}: {_first_line(error)}", self._spec) from error
        flaw = _flaw(token)
        if flaw is not None:
            raise _no_token(scope, flaw, self._spec)
        return token


class _Keeper:
    """Holds one scope's token. Its task is the only one to fetch, so an endpoint never sees two requests at once."""

    def __init__(self, scope: str, fetch: Callable[[str], Awaitable[AccessToken]]) -> None:
        self._scope = scope
        self._fetch = fetch
        self._held: AccessToken | None = None
        self._usable_until = 0.0  # epoch seconds
        self._failure: str | None = None
        self._is_fetching = True
        self._fetched = asyncio.Event()  # pulsed at the end of each fetch
        self._wanted = asyncio.Event()
        self._forced_at = float("-inf")
        self._task = asyncio.create_task(self._keep(), name=f"token for {scope}")

    def held(self) -> AccessToken | None:
        return self._held if time.time() < self._usable_until else None

    async def token(self) -> AccessToken:
        held = self.held()
        if held is not None:
            return held
        if self._failure is not None and not self._is_fetching:
            raise NoToken(self._failure)
        await self._next_fetch()
        held = self.held()
        if held is not None:
            return held
        raise NoToken(
            self._failure or f"No token for {self._scope} within {WAIT_LIMIT_S:g} s. Check that its endpoint answers."
        )

    async def renewed(self, stale: str) -> AccessToken:
        if self._held is not None and self._held.token == stale:
            now = asyncio.get_running_loop().time()
            if now - self._forced_at >= RENEWAL_PAUSE_S:
                self._forced_at = now
                self._wanted.set()
            if self._wanted.is_set() or self._is_fetching:
                await self._next_fetch()
        return await self.token()

    def state(self) -> TokenState:
        usable_s = None if self._held is None else max(0.0, self._usable_until - time.time())
        return TokenState(scope=self._scope, usable_s=usable_s, failure=self._failure)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._is_fetching, self._failure = False, f"No token for {self._scope}: the worker stops."
        self._fetched.set()  # for good: nobody waits for a fetch that won't come

    async def _next_fetch(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_LIMIT_S):
                await self._fetched.wait()

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._is_fetching = True
            self._wanted.clear()
            try:
                token = await self._fetch(self._scope)
            except NoToken as failure:
                self._failure = str(failure)
                failures += 1
                pause_s = self._backoff_s(failures)
            else:
                lifetime_s = token.expires_on - time.time()
                self._held, self._failure, failures = token, None, 0
                self._usable_until = token.expires_on - min(MARGIN_S, lifetime_s / 10)
                pause_s = max(1.0, lifetime_s / 2 * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            self._is_fetching = False
            self._fetched.set()
            self._fetched.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()

    def _backoff_s(self, failures: int) -> float:
        """Full jitter, no slower than what is at stake allows."""
        usable_s = self._usable_until - time.time()
        limit_s = max(BACKOFF_LIMIT_WITHOUT_TOKEN_S, min(BACKOFF_LIMIT_S, usable_s))
        return random.uniform(0.5, max(1.0, min(limit_s, 2.0 ** min(failures, 10))))  # noqa: S311 - jitter


def _source(spec: IdentitySpec) -> AsyncTokenCredential:
    authority = CLOUDS[spec.cloud].authority
    match spec.kind:
        case "managed":
            return ManagedIdentityCredential(client_id=spec.client_id, **PIPELINE)
        case "workload":
            return WorkloadIdentityCredential(client_id=spec.client_id, authority=authority, **PIPELINE)
        case "default":
            known = {} if spec.client_id is None else {"managed_identity_client_id": spec.client_id}
            return DefaultAzureCredential(authority=authority, **known, **PIPELINE)
        case "static":
            raise ValueError("a static identity asks no endpoint")


def _no_token(scope: str, why: str, spec: IdentitySpec) -> NoToken:
    identity = "the system-assigned identity" if spec.client_id is None else f"client id {spec.client_id}"
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


def _first_line(error: Exception) -> str:
    lines = redact(str(error)).strip().splitlines()
    return lines[0][:300].rstrip(". ") if lines else "no reason given"
