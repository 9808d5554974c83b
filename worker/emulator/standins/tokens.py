"""Bearer tokens of the stand-ins: JWT-shaped, unsigned, worth nothing anywhere else."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    aud: str
    exp: int  # epoch seconds
    jti: str


def issue(claims: Claims) -> str:
    header = {"alg": "none", "typ": "JWT"}
    payload = {"aud": claims.aud, "exp": claims.exp, "jti": claims.jti}
    return f"{_segment(header)}.{_segment(payload)}."


def read(token: str) -> Claims | None:
    """None for anything that `issue` didn't write."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Claims(aud=str(claims["aud"]), exp=int(claims["exp"]), jti=str(claims["jti"]))
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def _segment(claims: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
