"""What another replica has to answer: asked there, with the caller's own token, which that one verifies itself."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

from worker.core.door.answer import Problem, Response

FORWARDED: Final = "Flowbridge-Forwarded"  # by which replica; what has it is forwarded no further
_PASSED_ON: Final = ("Authorization", "Content-Type", "Idempotency-Key", "traceparent", "tracestate")
_PASSED_BACK: Final = (
    "Flowbridge-Attempts",
    "Flowbridge-Outcome",
    "Flowbridge-Request-Id",
    "Flowbridge-Run-Id",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
)
_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 15.0  # beyond its wait: sending to the queue may take 10 s
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersSpec:
    """`url`: of a replica's door, with `{replica}` in it; None where there is no way to others. `replicas`: all."""

    own: str
    url: str | None
    replicas: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class Peers:
    """Inside its `async with`. Connections are bounded by who may wait here at all."""

    spec: PeersSpec
    forwarded: int = 0
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def home_of(self, key_id: str, request: web.Request) -> str | None:
        """The replica where all sendings of one key meet; None: here."""
        if self.spec.url is None or not self.spec.replicas or FORWARDED in request.headers:
            return None
        home = max(self.spec.replicas, key=lambda name: hashlib.sha256(f"{name}\0{key_id}".encode()).digest())
        return None if home == self.spec.own else home

    async def ask(self, replica: str, request: web.Request, body: bytes, *, wait_s: float) -> Response:
        """Tried again, too: the same key makes no second run there, but at another replica it would."""
        return await self._tried(replica, request, body=body, wait_s=wait_s)

    async def fetch(self, replica: str, request: web.Request, *, wait_s: float) -> Response:
        """Tried again while the wait lasts: the replica may be starting."""
        if self.spec.url is None or FORWARDED in request.headers:
            detail = f"This is a request of replica {replica}, and this one has no way to it."
            return Problem(status=404, kind="other-replica", detail=detail).response()
        if self.spec.replicas and replica not in self.spec.replicas:
            return Problem(status=404, kind="unknown", detail="There is no replica that this id can be of.").response()
        return await self._tried(replica, request, body=None, wait_s=wait_s)

    async def _tried(self, replica: str, request: web.Request, *, body: bytes | None, wait_s: float) -> Response:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            left_s = max(0.0, until - loop.time())
            try:
                return await self._exchange(replica, request, body=body, wait_s=left_s)
            except (aiohttp.ClientError, TimeoutError):
                if loop.time() + _AGAIN_S >= until:
                    break
                await asyncio.sleep(_AGAIN_S)
        detail = f"Replica {replica}, which answers for this, can't be reached at the moment."
        return Problem(status=503, kind="replica-away", detail=detail, retry_after_s=1).response()

    async def _exchange(self, replica: str, request: web.Request, *, body: bytes | None, wait_s: float) -> Response:
        if self._session is None or self.spec.url is None:
            raise RuntimeError("peers are asked inside `async with`")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        place = self.spec.url.replace("{replica}", replica) + request.rel_url.raw_path
        async with self._session.request(
            request.method,
            URL(place, encoded=True),
            headers={**headers, "Prefer": f"wait={int(wait_s)}", FORWARDED: self.spec.own},
            data=body,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),  # without one the body decides
            timeout=aiohttp.ClientTimeout(total=wait_s + _ANSWER_S, sock_connect=_CONNECT_S),
        ) as answer:
            self.forwarded += 1
            return Response(
                status=answer.status,
                headers=_passed_back(answer.headers),
                body=await answer.read(),
                content_type=answer.headers.get("Content-Type"),
            )


def _passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in _PASSED_BACK if name in headers}
