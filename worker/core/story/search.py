"""One pass over a log for one request. Memory is bounded, however long the log is and however often it names the id."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from worker.core.redaction import redact
from worker.core.story.lines import Entry, entry_of, is_styled
from worker.core.story.record import Record, record_of, text, whole

MOST_REQUESTS: Final = 20  # that share a correlation id
MOST_EVENTS: Final = 500  # of one request
_MOST_RECENT: Final = 2000  # of what else went on, until it is known when the request lived
_MOST_AROUND: Final = 200
_LOOKED_AT_FOR_TIME: Final = 100  # lines at the beginning, which may be no events
_SEEN_BEFORE_S: Final = 600.0  # of what may have kept it out
_SEEN_AFTER_S: Final = 60.0  # of what may have kept the request waiting since

# Events of a worker that bear on the requests that it has, or doesn't take.
AROUND: Final = (
    *("circuit_opened", "circuit_closed", "circuit_isolated", "circuit_reset"),
    *("intake_paused", "intake_opened", "lane_failed", "lane_recovered", "session_lost", "loop_held_up"),
    *("worker_started", "drain_started", "worker_stopped"),
    *("process_started", "process_ended", "process_killed", "process_refused", "process_not_started"),
)
_AROUND: Final = re.compile(rb'event\\?"\s*:\s*\\?"(?:' + "|".join(AROUND).encode() + rb')\\?"')
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:-]+")  # what no wrapping writes in another way


class MatchedBy(StrEnum):
    REQUEST_ID = "request_id"
    CORRELATION_ID = "correlation_id"
    SEQUENCE_NUMBER = "sequence_number"
    RUN_ID = "run_id"
    TRACE_ID = "trace_id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The id as somebody gave it. The log has it redacted, should it look like a secret."""

    identifier: str

    @property
    def needle(self) -> bytes:
        """In every line that names it, whatever that is wrapped in."""
        return max(_PLAIN.findall(redact(self.identifier)), key=len, default="").encode()

    def matched_by(self, entry: Entry) -> MatchedBy | None:
        identifier = redact(self.identifier)
        return next((each for each in MatchedBy if _as_text(entry.fields.get(each)) == identifier), None)


@dataclass(slots=True, kw_only=True)
class Found:
    """Of one request. `entries`: its other events; `left_out`: more than are kept."""

    request_id: str
    matched_by: MatchedBy
    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, entry: Entry) -> Record | None:
        key = (entry.at, entry.event, whole(entry.fields, "sequence_number"), text(entry.fields, "settlement"))
        if key in self._seen:  # a line that is in two files
            return None
        if len(self._seen) == MOST_EVENTS:
            self.left_out += 1
            return None
        self._seen.add(key)
        record = record_of(entry)
        if record is None:
            self.entries.append(entry)
        else:
            self.records.append(record)
        return record


@dataclass(slots=True, kw_only=True)
class Searched:
    """`first_at`, `last_at`: epoch seconds of what could be read; `torn`, `styled`: lines that name the id, unread."""

    lines: int = 0
    torn: int = 0
    styled: int = 0
    first_at: float | None = None
    last_at: float | None = None


class Search:
    """`requests` by id, in the order in which they were met; `around`: what else went on while they lived."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._needle = wanted.needle
        self.requests: dict[str, Found] = {}
        self.requests_left_out: set[str] = set()
        self.searched = Searched()
        self._recent: deque[Entry] = deque(maxlen=_MOST_RECENT)
        self._around: deque[Entry] = deque(maxlen=_MOST_AROUND)
        self._lived: tuple[float, float] | None = None

    def read(self, lines: Iterable[bytes], *, file: str | None = None) -> None:
        """`file`: where they are from, of several. Gigabytes go through this loop."""
        needle, is_around = self._needle, _AROUND.search
        searched, count, first_at, line = self.searched, 0, None, b""
        try:
            for line in lines:
                count += 1
                if needle in line:
                    self._take(line, file)
                elif b"request_ended" not in line and b"event" in line and is_around(line):
                    self._take_around(line, file)
                if first_at is None and count <= _LOOKED_AT_FOR_TIME:
                    first_at = self._note_time(line)
        finally:
            searched.lines += count
            self._note_time(line)

    @property
    def around(self) -> list[Entry]:
        return sorted(self._around, key=lambda entry: entry.at)

    def _take(self, line: bytes, file: str | None) -> None:
        entry = _filed(entry_of(line), file)
        if entry is None:
            self.searched.torn += not is_styled(line)
            self.searched.styled += is_styled(line)
            return
        matched_by, request_id = self._wanted.matched_by(entry), text(entry.fields, "request_id")
        if matched_by is None or request_id is None:  # a short id is in many a line
            self._note_around(entry)
            return
        found = self.requests.get(request_id)
        if found is None:
            if len(self.requests) == MOST_REQUESTS:
                if len(self.requests_left_out) < MOST_EVENTS:
                    self.requests_left_out.add(request_id)
                return
            found = self.requests[request_id] = Found(request_id=request_id, matched_by=matched_by)
        record = found.add(entry)
        if record is not None:
            self._live(record.enqueued_at - _SEEN_BEFORE_S, record.at + (record.copy_in_s or 0.0) + _SEEN_AFTER_S)

    def _take_around(self, line: bytes, file: str | None) -> None:
        entry = _filed(entry_of(line), file)
        if entry is not None:
            self._note_around(entry)

    def _note_around(self, entry: Entry) -> None:
        if entry.event not in AROUND:
            return
        if self._lived is not None and self._lived[0] <= entry.at <= self._lived[1]:
            self._around.append(entry)
        else:
            self._recent.append(entry)

    def _live(self, began_at: float, ended_at: float) -> None:
        if self._lived is not None:
            began_at, ended_at = min(self._lived[0], began_at), max(self._lived[1], ended_at)
        self._lived = began_at, ended_at
        recent = list(self._recent)
        self._recent.clear()
        for entry in recent:
            (self._around if began_at <= entry.at <= ended_at else self._recent).append(entry)

    def _note_time(self, line: bytes) -> float | None:
        entry = entry_of(line)
        if entry is None:
            return None
        searched = self.searched
        searched.first_at = entry.at if searched.first_at is None else min(searched.first_at, entry.at)
        searched.last_at = entry.at if searched.last_at is None else max(searched.last_at, entry.at)
        return entry.at


def _filed(entry: Entry | None, file: str | None) -> Entry | None:
    return entry if entry is None or file is None else replace(entry, file=file)


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    return str(value) if isinstance(value, str | int) else None
