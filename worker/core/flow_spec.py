"""A flow as its decisions see it."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Auth: TypeAlias = Literal["identity", "sas", "none"]
AfterCrash: TypeAlias = Literal["call", "indeterminate"]


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
    """One `[[flows]]` entry; the URL stays out of its repr, because it may hold a signature."""

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
    body: Literal["message", "context"] = "message"
    retry: RetrySpec = RetrySpec()
    breaker: BreakerSpec = BreakerSpec()
