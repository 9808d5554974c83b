"""Bearer tokens of the stand-ins: JWT-shaped, unsigned, worth nothing anywhere else."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TENANT: Final = "7e000000-0000-4000-8000-000000000001"
OBJECT: Final = "0b000000-0000-4000-8000-000000000002"
CLIENT: Final = "c1000000-0000-4000-8000-000000000003"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """As Entra names them; who signs is told by `tid`."""

    aud: str
    exp: int  # epoch seconds
    jti: str
    tid: str = TENANT
    oid: str = OBJECT
    appid: str = CLIENT


def issue(claims: Claims) -> str:
    header = {"alg": "none", "typ": "JWT"}
    payload = {
        "aud": claims.aud,
        "exp": claims.exp,
        "jti": claims.jti,
        "iss": f"https://sts.windows.net/{claims.tid}/",
        "tid": claims.tid,
        "oid": claims.oid,
        "appid": claims.appid,
    }
    return f"{_segment(header)}.{_segment(payload)}."


def read(token: str) -> Claims | None:
    """None for anything that `issue` didn't write."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Claims(
            aud=str(claims["aud"]),
            exp=int(claims["exp"]),
            jti=str(claims["jti"]),
            tid=str(claims["tid"]),
            oid=str(claims["oid"]),
            appid=str(claims["appid"]),
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def _segment(claims: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
