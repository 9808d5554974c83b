"""The door in a whole house, with Entra's stand-in to say who asks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from support.house import House
from yarl import URL

from worker.doorway import OpenDoor, opened
from worker.emulator.standins import EntraStandIn
from worker.emulator.standins.tokens import TENANT, Claims

AUDIENCE: Final = "api://flowbridge-door"
MOST_WAITING: Final = 4
FLOWS: Final = ("flow", "checks", "slow")
SLOW_S: Final = 0.3
ERP: Final = "0b000000-0000-4000-8000-00000000000a"
SHOP: Final = "0b000000-0000-4000-8000-00000000000b"  # one at a time
POLLER: Final = "0b000000-0000-4000-8000-00000000000c"  # one in 1,000 s
STRANGER: Final = "0b000000-0000-4000-8000-00000000000d"
CALLERS: Final = (
    {"name": "erp", "ids": [ERP]},
    {"name": "shop", "ids": [SHOP], "flows": ["slow"], "concurrency": 1},
    {"name": "poller", "ids": [POLLER], "rate_per_s": 0.001},
)


@dataclass(slots=True, kw_only=True)
class Answered:
    """By the door, over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """Of a problem that the door has."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.document["status"] == self.status
        return str(self.document["type"]).removeprefix("urn:flowbridge:door:")


@dataclass(slots=True, kw_only=True)
class Door:
    house: House
    entra: EntraStandIn
    http: aiohttp.ClientSession
    open: OpenDoor

    @property
    def port(self) -> int:
        return self.open.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, oid: str = ERP, **changes: Any) -> str:
        """A right one, but for what is given."""
        claims = {"aud": AUDIENCE, "exp": int(time.time()) + 3600, "jti": "1"}
        return self.entra.token(Claims(oid=oid, **{**claims, **changes}))

    async def call(self, method: str, path: str, *, oid: str | None = ERP, **request: Any) -> Answered:
        """With a token of `oid`'s; None: with none."""
        headers = list(request.pop("headers", {}).items())
        if oid is not None:
            headers.append(("Authorization", f"Bearer {self.token(oid)}"))
        place = URL(self.url + path, encoded=True)
        async with self.http.request(method, place, headers=headers, **request) as response:
            return Answered(status=response.status, headers=response.headers, body=await response.read())

    async def ask(self, flow: str = "flow", body: bytes = b'{"n":1}', **request: Any) -> Answered:
        return await self.call("POST", f"/v1/flows/{flow}", data=body, **request)

    async def until_in_hand(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.open.limits.in_hand != count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def open_door(house: House, **changes: Any) -> AsyncIterator[Door]:
    """`changes` of the section [door]; with `tenants=[]` it wants no tokens."""
    async with EntraStandIn() as entra, aiohttp.ClientSession() as http:
        section: dict[str, Any] = {
            "port": 0,
            "replica": "door-0",
            "tenants": [TENANT],
            "secret": "of-all-the-doors-of-these-tests-here",
            "audiences": [AUDIENCE],
            "authority": entra.url,
            "callers": CALLERS,
            "max_waiting": MOST_WAITING,
            **changes,
        }
        if not section["tenants"]:
            section |= {"audiences": [], "callers": []}
        async with opened(house.settings(*({"name": flow} for flow in FLOWS), door=section)) as door:
            async with asyncio.timeout(15):
                while not door.readiness.is_ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            yield Door(house=house, entra=entra, http=http, open=door)
