"""The keeper of one scope's token: asks for the next one ahead of time, and holds the last good one meanwhile."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from azure.core.credentials import AccessToken

from worker.flow.identity import NoToken

WAIT_LIMIT_S: Final = 20.0  # what a caller waits where no token is held
MARGIN_S: Final = 60.0  # a token is not used in its last minute
RENEWAL_PAUSE_S: Final = 30.0  # at most one forced renewal in this time, whatever flows answer
BACKOFF_LIMIT_S: Final = 60.0
BACKOFF_LIMIT_WITHOUT_TOKEN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """`usable_s`: how long the held token may still be used, and `age_s`: since when it is held; None without one.

    `failure`: what the last fetch said; `failures` counts those that brought none.
    """

    scope: str
    usable_s: float | None
    age_s: float | None
    failure: str | None
    failures: int


class Pulse:
    """Wakes all who wait. A wait counts from the call of `next`, so one that begins in a task later misses nothing."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> Coroutine[Any, Any, None]:
        return _set(self._event)

    def beat(self) -> None:
        self._event.set()
        self._event = asyncio.Event()


async def _set(event: asyncio.Event) -> None:
    await event.wait()


class Keeper:
    """Its task is the only one to fetch, so an endpoint never sees two requests of one scope at once."""

    def __init__(self, scope: str, fetch: Callable[[str], Awaitable[AccessToken]], fetch_ended: Pulse) -> None:
        """`fetch_ended` beats at the end of each fetch, well or badly, and may be shared."""
        self._scope = scope
        self._fetch = fetch
        self._fetch_ended = fetch_ended
        self._ends = 0
        self._held: AccessToken | None = None
        self._usable_until = 0.0  # epoch seconds
        self._failure: str | None = None
        self._failures = 0
        self._held_since = 0.0
        self._is_fetching = True
        self._wanted = asyncio.Event()
        self._forced_at = float("-inf")
        self._task = asyncio.create_task(self._keep(), name=f"token for {scope}")

    def held(self) -> AccessToken | None:
        return self._held if time.time() < self._usable_until else None

    async def token(self) -> AccessToken:
        held = self.held()
        if held is not None:
            return held
        if not self._is_fetching:
            if self._failure is not None:
                raise NoToken(self._failure)
            self._wanted.set()  # it ran out unseen: the clock was set, or this host slept
        await self._next_end()
        held = self.held()
        if held is not None:
            return held
        raise NoToken(
            self._failure or f"No token for {self._scope} within {WAIT_LIMIT_S:g} s. Check that its endpoint answers."
        )

    async def renewed(self, stale: str) -> AccessToken:
        if self._held is not None and self._held.token == stale:
            now = asyncio.get_running_loop().time()
            if not self._is_fetching and now - self._forced_at >= RENEWAL_PAUSE_S:
                self._forced_at = now
                self._wanted.set()
            if self._wanted.is_set() or self._is_fetching:
                await self._next_end()
        return await self.token()

    def state(self) -> TokenState:
        usable_s = None if self._held is None else max(0.0, self._usable_until - time.time())
        return TokenState(
            scope=self._scope,
            usable_s=usable_s,
            age_s=None if self._held is None else asyncio.get_running_loop().time() - self._held_since,
            failure=self._failure,
            failures=self._failures,
        )

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._held, self._failure = None, f"No token for {self._scope}: the worker stops."
        self._end()

    async def _next_end(self) -> None:
        ends = self._ends
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_LIMIT_S):
                while self._ends == ends:
                    await self._fetch_ended.next()

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._is_fetching = True
            self._wanted.clear()
            try:
                token = await self._fetch(self._scope)
            except NoToken as failure:
                self._failure = str(failure)
                self._failures += 1
                failures += 1
                pause_s = self._backoff_s(failures)
            else:
                lifetime_s = token.expires_on - time.time()
                self._held, self._failure, failures = token, None, 0
                self._held_since = asyncio.get_running_loop().time()
                self._usable_until = token.expires_on - min(MARGIN_S, lifetime_s / 10)
                pause_s = max(1.0, lifetime_s / 2 * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            self._end()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()

    def _end(self) -> None:
        self._is_fetching = False
        self._ends += 1
        self._fetch_ended.beat()

    def _backoff_s(self, failures: int) -> float:
        """Full jitter, no slower than what is at stake allows."""
        usable_s = self._usable_until - time.time()
        limit_s = max(BACKOFF_LIMIT_WITHOUT_TOKEN_S, min(BACKOFF_LIMIT_S, usable_s))
        return random.uniform(0.5, max(1.0, min(limit_s, 2.0 ** min(failures, 10))))  # noqa: S311 - jitter
