"""The worker's identity: a credential that outlives the outages of its token endpoint.

azure-identity alone asks once per concurrent caller, refuses a managed identity's valid token once half its life has
passed and the refresh fails, and obeys any Retry-After. So one task per scope asks ahead of time, and callers are
served from what it holds.
"""

from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, Self

from azure.core.credentials import AccessToken

from worker.flow.identity import IdentitySpec, NoToken, fetch_token
from worker.flow.keeper import Keeper, Pulse, TokenState

__all__ = ["Credential", "IdentitySpec", "NoToken", "TokenState"]

_STATIC: Final = AccessToken("static-token-of-the-emulator", 2**33)  # opens nothing else, and never expires


class Credential:
    """An azure-core `AsyncTokenCredential`, and the flows' source of tokens."""

    def __init__(self, spec: IdentitySpec) -> None:
        self._spec = spec
        self._keepers: dict[str, Keeper] = {}
        self._fetch_ended = Pulse()
        self._is_closed = False

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

    def changed(self) -> Coroutine[Any, Any, None]:
        """To be awaited until the next fetch ends, of any scope, well or badly.

        Counts from this call: look at `states`, then wait, and no change is lost, not even where the wait is a task.
        """
        return self._fetch_ended.next()

    async def close(self) -> None:
        self._is_closed = True
        keepers, self._keepers = self._keepers, {}
        for keeper in keepers.values():
            await keeper.close()

    def _keeper(self, scope: str) -> Keeper:
        keeper = self._keepers.get(scope)
        if keeper is None:
            if self._is_closed:
                raise NoToken(f"No token for {scope}: the worker stops.")
            keeper = self._keepers[scope] = Keeper(scope, self._fetch, self._fetch_ended)
        return keeper

    async def _fetch(self, scope: str) -> AccessToken:
        return await fetch_token(self._spec, scope)
