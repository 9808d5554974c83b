"""Who receives: a mode, a credit and perhaps a session."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

ConsumerId = NewType("ConsumerId", int)


class ReceiveMode(Enum):
    PEEK_LOCK = "peek-lock"
    RECEIVE_AND_DELETE = "receive-and-delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSession:
    """Exactly this session, or a refusal at once."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSession:
    """Whichever session has messages and no holder, waiting for one at most this long."""

    timeout_s: float


SessionChoice = NamedSession | NextSession


@dataclass(slots=True, kw_only=True)
class Consumer:
    id: ConsumerId
    mode: ReceiveMode
    credit: int = 0
    session_id: str | None = None
    """The session it holds; None on an entity without sessions, and while it waits for one."""
