"""What the HTTP surface reads from the worker, and asks of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from worker.core.readiness import Readiness

SteerAction: TypeAlias = Literal["isolate", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """Metrics as a scraper takes them, in the format that it asked for."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """What somebody wants done with a flow's circuit."""

    flow: str
    action: SteerAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """`read_metrics` takes the request's `Accept`. `steer`: False when there is no such flow.

    `admin_token` None: nothing can be steered from here.
    """

    read_readiness: Callable[[], Readiness]
    read_status: Callable[[], Mapping[str, object]]
    read_metrics: Callable[[str], Exposition]
    steer: Callable[[Steer], bool]
    admin_token: str | None = field(default=None, repr=False)
