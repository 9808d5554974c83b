"""Whose a request is: access tokens of Entra's, proven by the keys of their tenant. The one importer of PyJWT.

Of what a token says unproven, its tenant and its key's id only choose among keys that are fetched from where the
settings say. Where else it claims that its keys are (`jku`, `x5u`, `jwk`, `x5c`) is never looked at.
"""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from worker.core.door.asker import Asker
from worker.core.door.claims import Unverified, asker_of, invalid, shown, tenant_of
from worker.door.keys import Keys, NoKeys

ALGORITHM: Final = "RS256"
TOKEN_LIMIT_BYTES: Final = 16_384
LEAST_KEY_BITS: Final = 2048
REMEMBERED_S: Final = 300.0  # so long a token that was proven outlives its key at most
REMEMBERED: Final = 4096

_SCHEME: Final = re.compile(r"bearer(?: +|$)", re.IGNORECASE)
_FORM: Final = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]*)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpec:
    """`tenants`: GUIDs. `audiences`: as tokens have them, letter by letter. `authority`: https://login.…"""

    tenants: frozenset[str]
    audiences: frozenset[str]
    authority: str


class Tokens:
    """Remembers those it proved for a few minutes, as a proof costs more than a look at what is remembered."""

    def __init__(
        self,
        spec: TokenSpec,
        *,
        http: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        """`tasks` outlive the requests; each takes a few seconds at most."""
        self._tenants = frozenset(tenant.lower() for tenant in spec.tenants)
        self._audiences = spec.audiences
        self._authority = spec.authority.rstrip("/").lower()
        self._keys = Keys(self._authority, self._tenants, http=http, tasks=tasks, read=_read_keys, clock=clock)
        self._epoch = epoch
        self._jws = PyJWS(algorithms=(ALGORITHM,))
        self._proven: dict[bytes, tuple[Asker, float]] = {}  # by the token's hash; until when

    async def asker_of(self, authorization: str | None) -> Asker | Unverified:
        """Of a request's one Authorization header."""
        token = _token_of(authorization)
        if isinstance(token, Unverified):
            return token
        digest = hashlib.sha256(token.encode()).digest()
        return self._remembered(digest) or await self._verify(token, digest)

    def _remembered(self, digest: bytes) -> Asker | None:
        asker, until = self._proven.get(digest, (None, 0.0))
        return asker if self._epoch() < until else None

    async def _verify(self, token: str, digest: bytes) -> Asker | Unverified:
        read = _read_unproven(token)
        if read is None:
            return invalid("The Authorization header holds no JSON Web Token.")
        header, claims = read
        key_id = _key_id_of(header)
        if isinstance(key_id, Unverified):
            return key_id
        tenant = tenant_of(claims, self._tenants)
        if isinstance(tenant, Unverified):
            return tenant
        try:
            key = await self._keys.find(tenant, key_id)
        except NoKeys as failure:
            return Unverified(status=503, why=str(failure))
        if key is None:
            return invalid(f"The token's key isn't one of tenant {tenant}'s.")
        return self._prove(token, digest, tenant, key)

    def _prove(self, token: str, digest: bytes, tenant: str, key: RSAPublicKey) -> Asker | Unverified:
        try:
            proven = self._jws.decode(token, key, algorithms=[ALGORITHM])
        except PyJWTError:
            return invalid("The token's signature isn't good.")
        claims = _object(proven)
        if claims is None:
            return invalid("The token's claims aren't a JSON object.")
        now = self._epoch()
        asker = asker_of(claims, tenant=tenant, audiences=self._audiences, authority=self._authority, now=now)
        if isinstance(asker, Asker):
            self._remember(digest, asker, min(float(str(claims["exp"])), now + REMEMBERED_S))
        return asker

    def _remember(self, digest: bytes, asker: Asker, until: float) -> None:
        self._proven.pop(digest, None)
        if len(self._proven) >= REMEMBERED:
            del self._proven[next(iter(self._proven))]
        self._proven[digest] = (asker, until)


def _token_of(authorization: str | None) -> str | Unverified:
    if not authorization:
        return Unverified(status=401, why="There is no Authorization header.")
    scheme = _SCHEME.match(authorization)
    if scheme is None:
        return Unverified(status=401, why="The Authorization header's scheme isn't Bearer.")
    token = authorization[scheme.end() :].rstrip(" ")
    if not token:
        return Unverified(status=401, why="The Authorization header holds no token.", error="invalid_request")
    if len(token) > TOKEN_LIMIT_BYTES:
        return invalid(f"The token is longer than {TOKEN_LIMIT_BYTES} bytes.")
    if _FORM.fullmatch(token) is None:
        return invalid("The Authorization header holds no JSON Web Token.")
    return token


def _read_unproven(token: str) -> tuple[Mapping[str, object], Mapping[str, object]] | None:
    """Header and claims; None where they aren't JSON objects, or a part could be written another way."""
    parts = [_unpacked(part) for part in token.split(".")]
    header, claims = (_object(part) for part in parts[:2])
    return None if header is None or claims is None or None in parts else (header, claims)


def _key_id_of(header: Mapping[str, object]) -> str | Unverified:
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm != ALGORITHM:
        return invalid(f"The token's algorithm is {shown(algorithm)}, not {ALGORITHM}.")
    if "crit" in header or "b64" in header:
        return invalid("The token wants an extension of JWS (crit, b64) that Entra doesn't use.")
    if not isinstance(key_id, str) or not key_id:
        return invalid("The token doesn't name its key (kid).")
    return key_id


def _read_keys(tenant: str, body: bytes) -> dict[str, RSAPublicKey]:
    """Of a JSON Web Key Set. Raises ValueError."""
    document = _object(body)
    entries = None if document is None else document.get("keys")
    if not isinstance(entries, list):
        raise ValueError("its answer isn't a JSON Web Key Set.")  # noqa: TRY004 - theirs, not ours
    keys = {str(entry["kid"]): key for entry in entries if (key := _read_key(tenant, entry)) is not None}
    if not keys:
        raise ValueError(f"its key set holds no RSA key of {LEAST_KEY_BITS} bits or more that signs.")
    return keys


def _read_key(tenant: str, entry: object) -> RSAPublicKey | None:
    """None for a key of another kind or use, or of another issuer: Entra also tells those of personal accounts."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        return None
    if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    issuer = str(entry.get("issuer", tenant)).lower()
    if tenant not in issuer and "{tenantid}" not in issuer:
        return None
    try:
        key = PyJWK({name: entry.get(name) for name in ("kty", "n", "e")}, algorithm=ALGORITHM).key
    except (PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= LEAST_KEY_BITS else None


def _unpacked(part: str) -> bytes | None:
    """None for what isn't base64url in the one way to write it: no padding, and no bits that say nothing."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return None
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=") == part.encode() else None


def _object(text: bytes | None) -> dict[str, object] | None:
    """None for what isn't one JSON object, whoever reads it: with each name once, and numbers that are some."""
    try:
        read = json.loads(text or b"", object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name is there twice")
    return read


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
