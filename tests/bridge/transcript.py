"""What happened in a simulation, for a person to read: one line each, in the order of virtual time."""

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Final

from .virtual_time import STARTS_AT

_LATEST_LINES: Final = 400  # what a person may want to read of a failure that couldn't be made smaller


class Saw(Enum):
    """The kinds of happenings. The value is the line's form."""

    SENT = "{} → {} is sent to flow {} by {}"
    RECEIVED = "{} receives {} (delivery {})"
    ACCEPTED = "{} accepts {}"
    NOTED = "{} notes in {} that it begins (time {})"
    HANDED_BACK = "{} hands back {}"
    IN_LINE = "flow {} will be called for {} by {}, after its time in line"
    CALLED = "flow {} called for {} by {} (attempt {})"
    FLOW_ENDED = "flow {} for {}: {}"
    CALL_CUT = "the call of flow {} for {} is cut by {}"
    FETCHED = "{} fetches the answer for {}: {}"
    REPLIED = "reply {} → {} by {}: {}"
    REPLY_DROPPED = "reply {} → {} by {}: {}, dropped as a duplicate"
    REPLY_REFUSED = "reply {} → {} by {}: {}, refused ({})"
    REPLY_UNHEARD = "reply {} → {} by {}: {}, taken but not confirmed"
    COPY_TAKEN = "{} schedules {} in {:.2f} s, with {} tries so far"
    COPY_DROPPED = "{} schedules {} again: dropped as a duplicate"
    COPY_REFUSED = "{} can't schedule a copy of {}"
    COPY_UNHEARD = "{} isn't told that {} is scheduled"
    COPY_DUE = "{} is there"
    COMPLETED = "{} completes {}"
    ABANDONED = "{} abandons {}"
    DEAD_LETTERED = "{} dead-letters {} ({}: {})"
    MAX_DELIVERIES = "{} was delivered too often: dead-lettered by the broker"
    UNCONFIRMED = "{} settles {}, and hears nothing (carried out: {})"
    TOO_LATE = "{} settles {}, whose lock is gone"
    LOCK_RENEWED = "{} renews the lock on {}"
    LOCK_NOT_RENEWED = "{} can't renew the lock on {}: it is gone"
    LOCK_TAKEN = "the lock on {} is lost, held by {}"
    LOCK_EXPIRED = "the lock on {} expires, held by {}"
    DEFECT = "our own defect, in the work of {} on {}"
    LINK_LOST = "{} loses its link: {}"
    LINK_BACK = "{} may open its link again"
    REPLIES_AWAY = "the reply queue is away for {} s"
    COPIES_SAY = "scheduling a copy is {} from now on"
    STARTED = "{} starts"
    KILLED = "{} dies; what it was just sending is {}"
    FROZEN = "{} stands still"
    THAWED = "{} goes on"
    PAUSED = "{} closes its intake"
    RESUMED = "{} opens its intake"
    STOPPING = "{} is told to stop"
    DRAIN_OVER = "{} has no time left for calls"
    STOP_NOW = "{} has no time left at all"
    DRAINED = "{} has drained and is gone"
    QUIET = "nothing goes wrong from now on"
    BROKEN = "LAW BROKEN: {}"


class Transcript:
    """`at` is the loop's clock; lines show seconds since the start. The texts are made only when somebody reads."""

    def __init__(self) -> None:
        self._happenings: list[tuple[float, Saw, tuple[object, ...]]] = []

    def add(self, at: float, saw: Saw, *facts: object) -> None:
        self._happenings.append((at, saw, facts))

    def __len__(self) -> int:
        return len(self._happenings)

    def counts(self) -> Counter[Saw]:
        return Counter(saw for _, saw, _ in self._happenings)

    def lines(self) -> Iterator[str]:
        for at, saw, facts in self._happenings:
            yield f"t={at - STARTS_AT:.2f} {saw.value.format(*facts)}"

    def __str__(self) -> str:
        lines = list(self.lines())
        left_out = len(lines) - _LATEST_LINES
        return "\n".join([f"… {left_out} lines before", *lines[-_LATEST_LINES:]] if left_out > 0 else lines)


class LawBrokenError(AssertionError):
    """Shows the transcript up to where the law was broken."""

    def __init__(self, law: str, transcript: Transcript) -> None:
        super().__init__(f"{law}\n{transcript}")
        self.law = law
        self.transcript = transcript
