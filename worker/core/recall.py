"""Idempotent Receiver: what this worker knows of deliveries that it called a flow for but could not settle.

A delivery is the same one when sequence number and message id are; a copy or a replay is another.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from worker.core.delivery import Delivery
from worker.core.outcome import Answered, Refused, RequestOutcome, Running, too_large
from worker.core.redelivery import origin_of
from worker.core.settlement import Settlement

_Key: TypeAlias = tuple[int, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSpec:
    """Bounds of the memory: whichever is reached first, the oldest goes."""

    max_entries: int = 20_000
    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 3600.0  # far above a lock's longest life of 5 minutes times the deliveries in between


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """`settlement` is set once nothing but saying it to the broker is left to do.

    `is_copied`: a copy on the queue goes on with the request, so this outcome isn't its end.
    """

    outcome: RequestOutcome | Running
    settlement: Settlement | None
    is_copied: bool = False


class _Entry(NamedTuple):
    recalled: Recalled
    size_bytes: int
    kept_at: float


class Recall:
    """Outcomes by delivery. `now` is the loop's clock."""

    def __init__(self, spec: RecallSpec = RecallSpec()) -> None:
        self._spec = spec
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._size_bytes = 0
        self._runs: OrderedDict[tuple[str, int], float] = OrderedDict()  # by the first message, with their times
        self._under_way: set[tuple[str, int]] = set()  # of these, whose delivery is still worked on
        self._left: set[tuple[str, int]] = set()  # and those whose request nobody here is to end
        self._uncalled: OrderedDict[_Key, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(
        self,
        delivery: Delivery,
        outcome: RequestOutcome | Running,
        *,
        settlement: Settlement | None = None,
        is_copied: bool = False,
        now: float,
    ) -> None:
        key = _key(delivery)
        self._drop(key)
        body_bytes = _body_bytes(outcome)
        if isinstance(outcome, Answered | Refused) and body_bytes > self._spec.max_bytes // 8:
            detail = "The flow answered an earlier delivery of this request, but its answer was too large to keep."
            outcome, body_bytes = too_large(outcome, detail), 0
        size_bytes = 500 + body_bytes
        recalled = Recalled(outcome=outcome, settlement=settlement, is_copied=is_copied)
        self._entries[key] = _Entry(recalled, size_bytes, now)
        self._size_bytes += size_bytes
        self._evict(now)

    def look_up(self, delivery: Delivery, *, now: float) -> Recalled | None:
        self._evict(now)
        entry = self._entries.get(_key(delivery))
        return None if entry is None else entry.recalled

    def forget(self, delivery: Delivery) -> None:
        self._drop(_key(delivery))

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size_bytes -= entry.size_bytes

    def note_run(self, delivery: Delivery, *, now: float) -> None:
        """A run may start here for the request. Kept beyond its end: a copy, or the first message, may still come."""
        origin = origin_of(delivery)
        self._left.discard(origin)
        self._under_way.add(origin)
        self._runs[origin] = now
        while len(self._runs) > self._spec.max_entries or now - next(iter(self._runs.values())) > self._spec.max_age_s:
            self._left.discard(self._runs.popitem(last=False)[0])

    def has_run(self, delivery: Delivery) -> bool:
        return origin_of(delivery) in self._runs

    def end_run(self, delivery: Delivery, *, is_left: bool) -> None:
        """The work on the delivery that it was noted for has ended; `is_left`: without an end for the request."""
        origin = origin_of(delivery)
        self._under_way.discard(origin)
        if is_left and origin in self._runs:
            self._left.add(origin)

    def is_under_way(self, delivery: Delivery) -> bool:
        return origin_of(delivery) in self._under_way

    def is_left(self, delivery: Delivery) -> bool:
        return origin_of(delivery) in self._left

    def forget_run(self, delivery: Delivery) -> None:
        """It surely didn't."""
        self._runs.pop(origin_of(delivery), None)
        self._left.discard(origin_of(delivery))

    def note_uncalled(self, delivery: Delivery) -> bool:
        """The delivery ended here without a call. Whether every earlier one of it did, too."""
        key = _key(delivery)
        if delivery.delivery_count != self._uncalled.get(key, -1) + 1:
            return False
        self._uncalled[key] = delivery.delivery_count
        self._uncalled.move_to_end(key)
        if len(self._uncalled) > self._spec.max_entries:
            self._uncalled.popitem(last=False)
        return True

    def _evict(self, now: float) -> None:
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if (
                len(self._entries) <= self._spec.max_entries
                and self._size_bytes <= self._spec.max_bytes
                and now - oldest.kept_at <= self._spec.max_age_s
            ):
                return
            del self._entries[key]
            self._size_bytes -= oldest.size_bytes


def _key(delivery: Delivery) -> _Key:
    return delivery.sequence_number, delivery.message_id


def _body_bytes(outcome: RequestOutcome | Running) -> int:
    if isinstance(outcome, Running):
        return len(outcome.location)
    body = outcome.body if isinstance(outcome, Answered | Refused) else None
    return 0 if body is None else len(body.content)
