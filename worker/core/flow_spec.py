"""A flow as its decisions see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from worker.core.json_schema import JsonSchema
from worker.core.query import Query

Auth: TypeAlias = Literal["identity", "sas", "none"]
AfterCrash: TypeAlias = Literal["call", "indeterminate"]
Body: TypeAlias = Literal["message", "context", "target"]
# What HTTP gives no meaning to, many servers drop or refuse.
BODILESS: Final = frozenset({"GET", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySpec:
    attempts: int = 4  # in all, the first one included
    first_s: float = 0.5
    max_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSpec:
    window_s: float = 30.0
    min_calls: int = 10
    failure_ratio: float = 0.5
    slow_s: float = 60.0
    slow_ratio: float = 0.9
    open_s: float = 15.0
    probes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec:
    """One `[[flows]]` entry; the URL and its query stay out of its repr, because they may hold a secret.

    `body_template` is used instead of `body`; it and the values of `query` are JSON-e templates.
    """

    name: str
    url: str = field(repr=False)
    method: str = "POST"
    auth: Auth = "identity"
    scope: str = ""
    timeout_s: float = 110.0
    idempotent: bool = False
    after_crash: AfterCrash = "call"
    concurrency: int = 100
    rate_per_s: float = 0.0  # 0: no cap
    hedge_after_s: float = 0.0  # 0: never; only for an idempotent flow
    max_response_bytes: int = 10_485_760
    polling_hosts: tuple[str, ...] = ()
    truncated: Literal["reject", "pass"] = "reject"
    body: Body = "message"
    body_template: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    query: Query = field(default=(), repr=False)
    request_schema: JsonSchema | None = None
    answer_schema: JsonSchema | None = None
    retry: RetrySpec = RetrySpec()
    breaker: BreakerSpec = BreakerSpec()

    @property
    def sends_body(self) -> bool:
        return self.method not in BODILESS
