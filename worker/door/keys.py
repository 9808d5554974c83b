"""The keys that tenants' tokens are signed with: asked for ahead of need, and kept through outages.

Whoever asks for a key that is held waits for nothing. A key that isn't held may be new, or made up: it is asked for,
but not often, so that made-up ones can't flood the endpoint.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

import aiohttp
import structlog

AHEAD_S: Final = 12 * 3600.0  # from this age on, keys are fetched anew while those that are held serve
FRESH_S: Final = 24 * 3600.0  # older ones serve only where no newer are to be had
KEPT_S: Final = 48 * 3600.0
PAUSE_S: Final = 30.0  # at most one fetch in this time for keys that aren't held, and after a failure
PAUSE_WITHOUT_KEYS_S: Final = 1.0
FETCH_S: Final = 5.0
MOST_BYTES: Final = 262_144
_NEVER: Final = float("-inf")

_log = structlog.stdlib.get_logger(__name__)

Key = TypeVar("Key")


class NoKeys(Exception):
    """Whether a token's key is the tenant's can't be told now; says why."""


class Keys(Generic[Key]):
    """Those of each tenant, by their ids. A fetch is a task of `tasks`, the same for all who wait for it."""

    def __init__(
        self,
        authority: str,
        tenants: Iterable[str],
        *,
        http: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        read: Callable[[str, bytes], Mapping[str, Key]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read(tenant, body)` raises ValueError, with a sentence, for what holds no key."""
        self._tenants = {
            tenant: _Tenant(tenant, f"{authority}/{tenant}/discovery/v2.0/keys", http, read, clock)
            for tenant in tenants
        }
        self._tasks = tasks

    async def find(self, tenant: str, key_id: str) -> Key | None:
        """None: the tenant has no such key. Raises `NoKeys`."""
        kept = self._tenants[tenant]
        fetch = kept.fetching
        if fetch is None and kept.wants_fetch(key_id):
            fetch = kept.fetching = self._tasks.create_task(kept.fetch(), name=f"keys of {tenant}")
        if fetch is not None and not kept.serves(key_id):
            await asyncio.wait((fetch,))  # goes on for the others when this one's caller leaves
        return kept.find(key_id)


class _Tenant(Generic[Key]):
    def __init__(
        self,
        name: str,
        url: str,
        http: aiohttp.ClientSession,
        read: Callable[[str, bytes], Mapping[str, Key]],
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._url = url
        self._http = http
        self._read = read
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = _NEVER
        self._failed_at = _NEVER
        self._missed_at = _NEVER
        self._failure: str | None = None
        self.fetching: asyncio.Task[None] | None = None

    def wants_fetch(self, key_id: str) -> bool:
        """Such a fetch is counted as begun."""
        now = self._clock()
        if now - self._fetched_at >= KEPT_S:
            return now - self._failed_at >= PAUSE_WITHOUT_KEYS_S
        if key_id not in self._keys:
            if now - self._missed_at < PAUSE_S:
                return False
            self._missed_at = now
            return True
        return now - self._fetched_at >= AHEAD_S and now - self._failed_at >= PAUSE_S

    def serves(self, key_id: str) -> bool:
        """Without a wait for newer ones."""
        age_s = self._clock() - self._fetched_at
        return key_id in self._keys and age_s < (FRESH_S if self._failure is None else KEPT_S)

    def find(self, key_id: str) -> Key | None:
        is_kept = self._clock() - self._fetched_at < KEPT_S
        key = self._keys.get(key_id) if is_kept else None
        if key is None and (self._failure is not None or not is_kept):
            raise NoKeys(f"The keys of tenant {self._name} can't be had: {self._failure or 'the door stops.'}")
        return key

    async def fetch(self) -> None:
        """Never raises: what it failed of is told by `find`."""
        try:
            keys = self._read(self._name, await self._body())
        except TimeoutError:
            self._fail(f"{self._url} gave no answer within {FETCH_S:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._fail(f"{self._url} gave none: {str(error) or type(error).__name__}")
        else:
            if self._failure is not None or keys.keys() != self._keys.keys():
                _log.info("signing_keys_fetched", tenant=self._name, keys=len(keys))
            self._keys, self._failure, self._fetched_at = keys, None, self._clock()
        finally:
            self.fetching = None

    async def _body(self) -> bytes:
        async with (
            asyncio.timeout(FETCH_S),
            self._http.get(self._url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"its status is {answer.status}.")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"its answer is longer than {MOST_BYTES} bytes.")
        return bytes(body)

    def _fail(self, failure: str) -> None:
        self._failure, self._failed_at = failure, self._clock()
        _log.warning("signing_keys_not_fetched", tenant=self._name, failure=failure)
