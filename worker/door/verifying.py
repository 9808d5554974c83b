"""What `Tokens` needs for as long as it is used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from worker.door.tokens import Tokens, TokenSpec


@asynccontextmanager
async def verifying(spec: TokenSpec) -> AsyncIterator[Tokens]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http, asyncio.TaskGroup() as tasks:
        yield Tokens(spec, http=http, tasks=tasks)
