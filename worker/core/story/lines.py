"""A worker's own event out of a line of any log: behind kubectl's prefix, within a container runtime's or a store's."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

_OPENS: Final = re.compile(rb'\{\s*"')
_STARTS_LOOKED_AT: Final = 4
_DEEPEST: Final = 3
# Where docker, journald, Loki and Log Analytics keep the line that they were given.
_WRAPPED_IN: Final = ("log", "MESSAGE", "message", "msg", "line", "Log", "Log_s", "LogEntry", "LogMessage")
_SOURCES: Final = ("_HOSTNAME", "pod", "pod_name", "PodName", "ReplicaName_s", "container_name")
_SOURCE_GROUPS: Final = ("labels", "kubernetes")
_STYLE: Final = re.compile(r"\x1b\[[\d;]*m")
_PREFIX: Final = re.compile(
    r"""\[?pod/(?P<pod>[^/\s\]]+)            # kubectl logs --prefix
      | ^(?P<service>[\w.-]+)\s*\|           # docker compose
      | ^\w{3}\s+\d+\s[\d:]{8}\s(?P<host>\S+)  # syslog, journalctl
    """,
    re.VERBOSE,
)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()  # what is told to be due in years can still be written


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event. `at` in epoch seconds; `source`: the pod, service or host that the wrapping names; `file`: where it
    was read, of several.
    """

    at: float
    event: str
    fields: Mapping[str, Any]
    source: str | None
    file: str | None = None


def entry_of(line: bytes) -> Entry | None:
    """None for whatever isn't an event of a worker's: torn, not JSON, or somebody else's."""
    for document, prefix in _documents(line):
        entry = _unwrapped(document, _source_of_prefix(prefix), depth=0)
        if entry is not None:
            return entry
    return None


def is_styled(line: bytes) -> bool:
    """As a terminal shows it."""
    return b"\x1b[" in line and _OPENS.search(line) is None


def _documents(line: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Objects that end where the line does, and what stands before each."""
    end = line.rfind(b"}") + 1
    for count, opening in enumerate(_OPENS.finditer(line)):
        if count == _STARTS_LOOKED_AT:
            return
        try:
            document = orjson.loads(line[opening.start() : end])
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document, line[: opening.start()]


def _unwrapped(document: dict[str, Any], source: str | None, *, depth: int) -> Entry | None:
    event, at = document.get("event"), _epoch_s(document.get("timestamp"))
    if isinstance(event, str) and at is not None:
        return Entry(at=at, event=event, fields=document, source=source)
    if depth == _DEEPEST:
        return None
    source = _source_of_wrapping(document) or source
    for name in _WRAPPED_IN:
        inner = document.get(name)
        if isinstance(inner, dict):
            found = _unwrapped(inner, source, depth=depth + 1)
        elif isinstance(inner, str):
            inside = _documents(inner.encode(errors="replace"))
            found = next(filter(None, (_unwrapped(each, source, depth=depth + 1) for each, _ in inside)), None)
        else:
            continue
        if found is not None:
            return found
    return None


def _source_of_prefix(prefix: bytes) -> str | None:
    found = _PREFIX.search(_STYLE.sub("", prefix[:300].decode(errors="replace")))
    return None if found is None else found["pod"] or found["service"] or found["host"]


def _source_of_wrapping(document: Mapping[str, Any]) -> str | None:
    groups = [document, *(document.get(name) for name in _SOURCE_GROUPS)]
    named = (group.get(name) for group in groups if isinstance(group, dict) for name in _SOURCES)
    return next((each for each in named if isinstance(each, str) and each), None)


def _epoch_s(stamp: object) -> float | None:
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
        epoch_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return epoch_s if _EARLIEST <= epoch_s <= _LATEST else None
