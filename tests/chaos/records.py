"""What is known of a round when it is over: what was asked, what was done to whom, and what everybody saw.

Times are epoch seconds. A *branch* is a message on the request queue, named by its message id: the request itself, or
a copy of it. `by`: the worker, which is a process; `w1.3` is the third one in seat `w1`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from chaos.flows import DRAIN_S, RESERVE_S
from chaos.plan import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A branch came into being. `is_repeat`: the queue had its id before, and dropped it."""

    at: float
    branch: str
    request_id: str
    by: str | None
    is_copy: bool = False
    is_redelivered: bool = False
    is_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    at: float
    branch: str
    lock: str
    count: int
    by: str | None
    sequence_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """`is_refused`: the lock was lost, or the message settled before."""

    at: float
    branch: str
    lock: str
    how: str  # complete, abandon, dead_letter, release, defer
    is_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """A reply came onto its queue, or was dropped as a repeat."""

    at: float
    request_id: str
    session: str | None
    correlation_id: str | None
    outcome: str
    body: bytes
    by: str | None
    is_repeat: bool = False


Event: TypeAlias = Requested | Delivered | Settled | Replied


class Ending(StrEnum):
    """How the flow's door saw a call end."""

    UNDER_WAY = "under way"
    ANSWERED = "answered"
    REFUSED = "refused by the run"
    TURNED_AWAY = "turned away"
    NOT_RUN = "not run"
    ACCEPTED = "accepted"  # 202: the answer comes later
    CUT = "cut by us"
    DOUBTFUL = "answered without a word of the run"
    GONE = "its caller went away"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call at the flow's door, whole as it came in. `body`: what the run answered, at once or later."""

    request_id: str
    flow: str
    by: str
    at: float
    run: str
    number: int
    ending: Ending = Ending.UNDER_WAY
    ended_at: float | None = None
    body: bytes | None = None

    @property
    def may_have_run(self) -> bool:
        """As the worker that made it may know."""
        return self.ending not in {Ending.NOT_RUN, Ending.TURNED_AWAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Of a worker's log."""

    at: float
    by: str
    event: str
    level: str
    said: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Harm:
    """Something done on purpose. `by` None: to all; `entity` None: to all of its connections."""

    kind: str
    at: float
    until: float
    by: str | None = None
    entity: str | None = None
    branch: str | None = None
    trigger: str = ""


@dataclass(slots=True, kw_only=True)
class Life:
    """A worker's. `status`: its exit status, negative when killed by a signal, None while it runs.

    `hurried_at`: when it was told to stop a second time.
    """

    by: str
    began_at: float
    ended_at: float | None = None
    status: int | None = None
    told_to_stop_at: float | None = None
    hurried_at: float | None = None

    @property
    def may_cut_from(self) -> float:
        """When its drain leaves calls no more time."""
        if self.told_to_stop_at is None:
            return float("inf")
        return self.hurried_at or self.told_to_stop_at + DRAIN_S - RESERVE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    branch: str
    request_id: str
    reason: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """`left`: branches that were still on the request queue when its time was over."""

    asked: Mapping[str, Asked]
    events: Sequence[Event]
    calls: Sequence[Call]
    lines: Sequence[Line] = ()
    harms: Sequence[Harm] = ()
    lives: Sequence[Life] = ()
    dead: Sequence[DeadLetter] = ()
    left: Sequence[str] = ()
    ended_at: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """`request_id` None where it isn't about one request."""

    law: str
    what: str
    request_id: str | None = None
