"""What a door knows of requests: who asked, under which key, and the answer once it is there. Bounded by time and size.

Times are epoch seconds, because ids say since when they are awaited, and outlive the process.
"""

from collections import OrderedDict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from worker.core.door.ids import RequestId
from worker.core.outcome import Outcome
from worker.core.typed_reply import TypedReply

# An answer that another try may change is not told to who tries again.
_FINAL: Final = frozenset({Outcome.ANSWERED, Outcome.REFUSED, Outcome.REJECTED, Outcome.INDETERMINATE})
_MOST_FORGOTTEN: Final = 100_000
_OVERHEAD_BYTES: Final = 2_000  # of an entry beside its body
_TRIMMED_TO: Final = 0.9  # of the bound: not one by one, as each look costs a walk over all


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """`remember_s`: from the answer on, and beyond `timeout_s` where none came."""

    timeout_s: float
    remember_s: float
    max_bytes: int


class Unknown(Enum):
    """Why there is nothing to tell of an id."""

    NEVER = auto()  # it may still come: somebody else may have sent it, or this process is younger than it
    FORGOTTEN = auto()


@dataclass(slots=True, kw_only=True)
class Entry:
    """`deadline`: by when the bridge answers. `is_told`: the answer has been written to a caller.

    `place`: among all answers, in the order they came.
    """

    request_id: str
    key_id: str | None
    asked_at: float
    deadline: float
    answer: TypedReply | None = None
    answered_at: float = 0.0
    place: int = 0
    is_told: bool = False

    @property
    def is_final(self) -> bool:
        return self.answer is not None and self.answer.outcome in _FINAL

    @property
    def size_bytes(self) -> int:
        return _OVERHEAD_BYTES + (0 if self.answer is None else len(self.answer.body))


class Memory:
    def __init__(self, spec: MemorySpec) -> None:
        self._spec = spec
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # oldest first
        self._by_key: dict[str, list[str]] = {}
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._answers = 0
        self._unanswered = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Of requests that wait for their answers, which can't be forgotten: nothing more is to be asked."""
        return self._unanswered * _OVERHEAD_BYTES > self._spec.max_bytes

    def ask(self, request_id: str, *, key_id: str | None, now: float) -> Entry:
        entry = Entry(request_id=request_id, key_id=key_id, asked_at=now, deadline=now + self._spec.timeout_s)
        self._add(entry)
        return entry

    def look_up(self, request_id: RequestId, *, now: float) -> Entry | Unknown:
        """What answers it. All sendings under one key are answered with what came first and is final."""
        entry = self._entries.get(str(request_id))
        if entry is not None:
            return self._final(entry.key_id) or entry
        is_over = now > request_id.issued + self._spec.timeout_s + self._spec.remember_s
        return Unknown.FORGOTTEN if is_over or str(request_id) in self._forgotten else Unknown.NEVER

    def repeated(self, key_id: str) -> Entry | None:
        """The sending under the same key that is to answer for this one, too: with a final outcome, or with none yet.

        Also once its time is over: the flow may have run, and an answer that comes late is the answer.
        """
        unanswered = (each for each in self._sendings(key_id) if each.answer is None)
        return self._final(key_id) or next(unanswered, None)

    def answered(self, answer: TypedReply, *, now: float) -> Entry | None:
        """None for what was forgotten already. `answer.correlation_id` is the key's id where there is one.

        Also of a request that isn't known: it was asked by the process before this one, or by the sender itself.
        """
        if answer.request_id in self._forgotten:
            return None
        entry = self._entries.get(answer.request_id)
        if entry is None:
            key_id = answer.correlation_id
            entry = Entry(request_id=answer.request_id, key_id=key_id, asked_at=now, deadline=now)
            self._add(entry)
        if entry.answer is None:
            self._answers += 1
            self._unanswered -= 1
            self.size_bytes += len(answer.body)
            entry.answer, entry.answered_at, entry.place = answer, now, self._answers
            if not entry.is_final:
                self._unlink(entry)
        return entry

    def under(self, key_id: str | None) -> Sequence[str]:
        """Ids of the sendings under a key, but for those whose outcome another try may change."""
        return () if key_id is None else tuple(self._by_key.get(key_id, ()))

    def withdraw(self, request_id: str) -> None:
        """It was never sent."""
        self._remove(request_id)

    def forget(self, now: float) -> list[Entry]:
        """Those whose time is over."""
        over = [entry for entry in self._entries.values() if self._is_over(entry, now)]
        for entry in over:
            self._drop(entry)
        return over

    def trim(self, *, waited_for: Container[str]) -> list[Entry]:
        """Answers that are forgotten where there are too many bytes: the oldest that were told, then the oldest.

        Never one that somebody waits for.
        """
        if self.size_bytes <= self._spec.max_bytes:
            return []
        answered = [each for each in self._entries.values() if each.answer and each.request_id not in waited_for]
        trimmed: list[Entry] = []
        for entry in sorted(answered, key=lambda each: not each.is_told):
            if self.size_bytes <= _TRIMMED_TO * self._spec.max_bytes:
                break
            self._drop(entry)
            trimmed.append(entry)
        return trimmed

    def _is_over(self, entry: Entry, now: float) -> bool:
        since = entry.deadline if entry.answer is None else entry.answered_at
        return now - since > self._spec.remember_s

    def _sendings(self, key_id: str | None) -> list[Entry]:
        return [self._entries[each] for each in self.under(key_id)]

    def _final(self, key_id: str | None) -> Entry | None:
        """The first to be answered: of those in the queue it is so after a restart, too."""
        final = [entry for entry in self._sendings(key_id) if entry.is_final]
        return min(final, key=lambda entry: entry.place, default=None)

    def _add(self, entry: Entry) -> None:
        self._entries[entry.request_id] = entry
        self.size_bytes += entry.size_bytes
        self._unanswered += 1
        if entry.key_id is not None:
            self._by_key.setdefault(entry.key_id, []).append(entry.request_id)

    def _drop(self, entry: Entry) -> None:
        self._remove(entry.request_id)
        self._forgotten[entry.request_id] = None
        if len(self._forgotten) > _MOST_FORGOTTEN:
            self._forgotten.popitem(last=False)

    def _remove(self, request_id: str) -> None:
        entry = self._entries.pop(request_id, None)
        if entry is None:
            return
        self.size_bytes -= entry.size_bytes
        self._unanswered -= entry.answer is None
        self._unlink(entry)

    def _unlink(self, entry: Entry) -> None:
        sendings = self._by_key.get(entry.key_id or "", [])
        if entry.request_id in sendings:
            sendings.remove(entry.request_id)
            if not sendings:
                del self._by_key[entry.key_id or ""]
