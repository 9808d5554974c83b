"""What a flow can be told to do with one call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The run reached its Response action."""

    status: int = 200
    body: bytes = b'{"ok":true}'
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The run answers 200 with the request's own body and content type."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformError:
    """The platform answers in the flow's place, with its error body; `has_run` adds the run id."""

    status: int
    code: str
    message: str = "The stand-in was told to fail."
    retry_after: str | None = None  # seconds or an HTTP date
    has_run: bool = False

    @classmethod
    def throttled(cls, retry_after: str) -> "PlatformError":
        return cls(status=429, code="WorkflowTriggerRunsThrottled", retry_after=retry_after)

    @classmethod
    def no_response(cls) -> "PlatformError":
        return cls(status=502, code="NoResponse", has_run=True)

    @classmethod
    def gateway_timeout(cls) -> "PlatformError":
        return cls(status=504, code="GatewayTimeout", has_run=True)

    @classmethod
    def schema_mismatch(cls) -> "PlatformError":
        return cls(status=400, code="TriggerInputSchemaMismatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """Something in front of the flow answers in its place, or the platform without its error body: no run id."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def page(cls, status: int) -> "GatewayAnswer":
        return cls(
            status=status, body=b"<html><h1>Our services aren't available.</h1></html>", content_type="text/html"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """202 with a Location that answers 202 `polls` times, then `then`. `location` replaces the stand-in's own."""

    polls: int = 1
    then: Answer = Answer()
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """No byte of an answer, until the caller or the stand-in goes away."""


class CutPoint(StrEnum):
    BEFORE_ANSWER = "before answer"
    IN_BODY = "in body"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The connection is lost after the whole request was read."""

    at: CutPoint = CutPoint.BEFORE_ANSWER
    answer: Answer = Answer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """`answer`, `chunk_bytes` at a time."""

    answer: Answer = Answer()
    chunk_bytes: int = 1
    every_s: float = 0.1


Behaviour: TypeAlias = Answer | Echo | PlatformError | GatewayAnswer | Accept | Hang | CutOff | Drip
