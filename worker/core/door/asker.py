"""Who asks, and what they may ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALL_FLOWS: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """The identity that a verified token is of. `app_id`: of the application that got it."""

    tenant_id: str
    object_id: str
    app_id: str | None = None
    roles: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Nobody else's."""
        return f"{self.tenant_id}/{self.object_id}"


ANYBODY: Final = Asker(tenant_id="", object_id="anybody")  # where the door asks for no token


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSpec:
    """`ids`: of objects or applications. `flows`: names, or `*`. `rate_per_s` 0: no cap."""

    name: str
    ids: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    flows: frozenset[str] = frozenset({ALL_FLOWS})
    rate_per_s: float = 0.0
    concurrency: int = 100

    def is_for(self, asker: Asker) -> bool:
        return not self.ids.isdisjoint((asker.object_id, asker.app_id)) or not self.roles.isdisjoint(asker.roles)

    def may_call(self, flow: str) -> bool:
        return ALL_FLOWS in self.flows or flow in self.flows


def caller_of(asker: Asker, callers: Sequence[CallerSpec]) -> CallerSpec | None:
    """The first that it is for; None: it may ask for nothing."""
    return next((caller for caller in callers if caller.is_for(asker)), None)
