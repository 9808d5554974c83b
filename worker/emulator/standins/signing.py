"""Tokens as Entra signs them, and the keys that it publishes for those who check them."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from worker.emulator.standins.tokens import Claims

KEY_BITS: Final = 2048


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=KEY_BITS)


class SigningKeys:
    """The newest signs; all are published until they are withdrawn."""

    def __init__(self, key: RSAPrivateKey | None = None) -> None:
        self._keys: list[RSAPrivateKey] = [key or new_key()]

    @property
    def key_id(self) -> str:
        return key_id_of(self._keys[-1].public_key())

    def rotate(self, key: RSAPrivateKey | None = None) -> None:
        self._keys.append(key or new_key())

    def withdraw_old(self) -> None:
        del self._keys[:-1]

    def sign(self, claims: Mapping[str, object]) -> str:
        return sign({"typ": "JWT", "alg": "RS256", "x5t": self.key_id, "kid": self.key_id}, claims, self._keys[-1])

    def document(self, issuer: str) -> dict[str, object]:
        """A JSON Web Key Set."""
        return {"keys": [_published(key.public_key(), issuer) for key in self._keys]}


def sign(header: Mapping[str, object], claims: Mapping[str, object], key: RSAPrivateKey) -> str:
    signed = f"{segment(_text(header))}.{segment(_text(claims))}"
    return f"{signed}.{segment(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def claims_of_version_1(claims: Claims, *, now: int) -> dict[str, object]:
    """As a managed identity's are."""
    return {
        "aud": claims.aud,
        "iss": f"https://sts.windows.net/{claims.tid}/",
        "iat": now,
        "nbf": now,
        "exp": claims.exp,
        "appid": claims.appid,
        "appidacr": "2",
        "idp": f"https://sts.windows.net/{claims.tid}/",
        "idtyp": "app",
        "jti": claims.jti,
        "oid": claims.oid,
        "sub": claims.oid,
        "tid": claims.tid,
        "ver": "1.0",
    }


def claims_of_version_2(claims: Claims, *, authority: str, now: int) -> dict[str, object]:
    return {
        "aud": claims.aud,
        "iss": f"{authority}/{claims.tid}/v2.0",
        "iat": now,
        "nbf": now,
        "exp": claims.exp,
        "azp": claims.appid,
        "azpacr": "2",
        "jti": claims.jti,
        "oid": claims.oid,
        "sub": claims.oid,
        "tid": claims.tid,
        "ver": "2.0",
    }


def key_id_of(key: RSAPublicKey) -> str:
    return segment(hashlib.sha256(_number(key.public_numbers().n)).digest()[:20])


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _published(key: RSAPublicKey, issuer: str) -> dict[str, object]:
    numbers, key_id = key.public_numbers(), key_id_of(key)
    return {
        "kty": "RSA",
        "use": "sig",
        "kid": key_id,
        "x5t": key_id,
        "n": segment(_number(numbers.n)),
        "e": segment(_number(numbers.e)),
        "issuer": issuer,
    }


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _text(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
