"""What a token endpoint can be told to do with one request."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """`refresh_in_s` is told only where given."""

    lifetime_s: int = 86_400
    refresh_in_s: int | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    status: int
    error: str = "server_error"
    description: str = "The stand-in was told to refuse."
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A 200 that holds no token: HTML, broken JSON, or fields of the wrong type."""

    body: bytes = b"<html>not a token</html>"
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class Stall:
    """No answer."""


TokenBehaviour: TypeAlias = Issue | Refuse | Garbage | Stall
