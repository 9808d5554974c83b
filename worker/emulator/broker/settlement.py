"""How a consumer ends its hold on a locked message."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.emulator.broker.message import PropertyValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The message is done and gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """Deliver again, one failed delivery more; too many, and it is dead-lettered."""

    properties: Mapping[str, PropertyValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """Set aside until asked for by sequence number."""

    properties: Mapping[str, PropertyValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Move to the dead-letter queue."""

    reason: str | None = None
    description: str | None = None
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Put back where it was, as if never delivered."""


Settlement = Complete | Abandon | Defer | DeadLetter | Release
