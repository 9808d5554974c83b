"""Request ids of the door. Each says where its answer comes, since when it is awaited, and whose it is.

So any replica can tell whose an id is, also after a restart, and none needs a store that is shared. What tells whose it
is, is keyed by a secret of the doors': whoever may send to the queue could make up another's id otherwise, and with it
the answer that the other gets.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, Self

from worker.core.door.asker import Asker

NONCE_BYTES: Final = 16
_OWNER_BYTES: Final = 16
_REPLICA: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
REPLICA: Final = re.compile(_REPLICA)
_FORM: Final = re.compile(
    rf"(?P<replica>{_REPLICA})\.(?P<issued>[0-9]{{1,12}})\.(?P<nonce>[\w-]{{22}})\.(?P<owner>[\w-]{{22}})", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestId:
    """`issued`: epoch seconds."""

    replica: str
    issued: int
    nonce: str
    owner: str

    @classmethod
    def issue(cls, asker: Asker, *, secret: bytes, replica: str, issued: int, draw: bytes) -> Self:
        """`draw`: so many random bytes that nobody guesses them."""
        nonce = _text(draw[:NONCE_BYTES])
        return cls(replica=replica, issued=issued, nonce=nonce, owner=_owner(asker, nonce, secret))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for what no door issued."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        return cls(replica=form["replica"], issued=int(form["issued"]), nonce=form["nonce"], owner=form["owner"])

    @classmethod
    def of(cls, text: str) -> Self:
        """Of one that a door issued."""
        read = cls.read(text)
        if read is None:
            raise ValueError(f"expected a request id of a door, got {text!r:.100}")
        return read

    def is_of(self, asker: Asker, *, secret: bytes) -> bool:
        return hmac.compare_digest(self.owner, _owner(asker, self.nonce, secret))

    def __str__(self) -> str:
        return f"{self.replica}.{self.issued}.{self.nonce}.{self.owner}"


def key_id(asker: Asker, *, secret: bytes, flow: str, idempotency_key: str) -> str:
    """By which a sending is known that repeats another: of the same asker alone."""
    return f"key-{_digest(secret, 'key', asker.key, flow, idempotency_key).hex()[:40]}"


def _owner(asker: Asker, nonce: str, secret: bytes) -> str:
    return _text(_digest(secret, "owner", asker.key, nonce)[:_OWNER_BYTES])


def _digest(secret: bytes, *parts: str) -> bytes:
    """Of the parts one by one: no two lists of them are the same text."""
    told = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.digest(secret, told, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
