"""Who may come in: SASL PLAIN, and tokens, put on the claims node or in HTTP's header. Pure; time is an argument."""

from __future__ import annotations

import hmac
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

_SAS_OPENING: Final = "SharedAccessSignature "


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyToken:
    """Everyone is let in, whatever the token says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SasKey:
    """Only holders of this key; bearer tokens, whose issuer can't be asked, are taken at their word or not at all."""

    name: str
    key: str = field(repr=False)
    accepts_jwt: bool = False


Auth = AnyToken | SasKey


class TokenRefusedError(Exception):
    """Says why; never quotes the token."""


def check_token(auth: Auth, *, token: str, audience: str, now: float) -> float:
    """Until when the token holds, in seconds since the epoch. Raises TokenRefusedError.

    The token itself says of which kind it is: the Python SDK calls shared access signatures `jwt` too.
    """
    if isinstance(auth, AnyToken):
        return float("inf")
    if token.startswith(_SAS_OPENING):
        return _check_sas(auth, token, audience, now)
    if auth.accepts_jwt:
        return float("inf")
    raise TokenRefusedError("only shared access signatures are accepted here, no bearer tokens")


def check_authorization(auth: Auth, *, header: str, audience: str, now: float) -> None:
    """HTTP's header of that name, empty where none came. Raises TokenRefusedError."""
    if isinstance(auth, AnyToken):
        return
    scheme, _, rest = header.partition(" ")
    is_bearer = scheme.casefold() == "bearer"
    if not rest.strip() or not (is_bearer or header.startswith(_SAS_OPENING)):
        raise TokenRefusedError(
            "no token came: expected the header Authorization with SharedAccessSignature or Bearer, and the token"
        )
    check_token(auth, token=rest.strip() if is_bearer else header, audience=audience, now=now)


def key_name_of(token: str) -> str | None:
    """Of a shared access signature, whether it holds or not: who says to have made it."""
    if not token.startswith(_SAS_OPENING):
        return None
    try:
        return _fields(token)["skn"]
    except TokenRefusedError:
        return None


def _check_sas(key: SasKey, token: str, audience: str, now: float) -> float:
    fields = _fields(token)
    expected = hmac.new(key.key.encode(), f"{fields['sr']}\n{fields['se']}".encode(), sha256).digest()
    if fields["skn"] != key.name or not hmac.compare_digest(fields["sig"].encode(), b64encode(expected)):
        raise TokenRefusedError("the shared access signature does not match the key")
    if not fields["se"].isdecimal() or int(fields["se"]) <= now:
        raise TokenRefusedError("the shared access signature has expired")
    if not _covers(_path(unquote(fields["sr"])), _path(audience)):
        raise TokenRefusedError("the shared access signature is for another resource")
    return float(fields["se"])


def _fields(token: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in token.removeprefix(_SAS_OPENING).split("&"))
    raw = {name: value for name, _, value in pairs}
    missing = {"sr", "sig", "se", "skn"} - raw.keys()
    if missing:
        raise TokenRefusedError(f"the shared access signature lacks {', '.join(sorted(missing))}")
    return {"sr": raw["sr"], "se": raw["se"], "sig": unquote(raw["sig"]), "skn": unquote(raw["skn"])}


def _path(resource: str) -> str:
    """`sb://host:1/queue/` → `queue`: hosts have many names, and one broker has one."""
    _, scheme, rest = resource.rpartition("://")
    return (rest.partition("/")[2] if scheme else rest).strip("/").casefold()


def _covers(allowed: str, path: str) -> bool:
    """What holds for an entity holds for what lies below it: its subscriptions, its dead letters."""
    return not allowed or path == allowed or path.startswith(allowed + "/")


class Admission:
    """What one connection may do: all of it, or what its tokens are for and while they hold."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self.key_name: str | None = None
        """Of the last token that was taken, where it was signed with a shared access key."""
        self._is_admitted = isinstance(auth, AnyToken)
        self._until_by_path: dict[str, float] = {}

    def check_plain(self, response: bytes) -> bool:
        """RFC 4616: authorization identity, key name, key, with NULs between."""
        if isinstance(self._auth, SasKey):
            _, _, rest = response.partition(b"\0")
            name, _, key = rest.partition(b"\0")
            self._is_admitted = name == self._auth.name.encode() and hmac.compare_digest(key, self._auth.key.encode())
        return self._is_admitted

    def put_token(self, *, token: str, audience: str, now: float) -> None:
        """Raises TokenRefusedError."""
        until = check_token(self._auth, token=token, audience=audience, now=now)
        self._until_by_path[_path(audience)] = until
        self.key_name = key_name_of(token) or self.key_name

    def allows(self, resource: str, now: float) -> bool:
        path = resource.casefold()
        return self._is_admitted or any(
            now < until and _covers(allowed, path) for allowed, until in self._until_by_path.items()
        )
