"""One thing that `flowbridge check` saw, with what to do where it is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    HINT = "hint"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`detail` is for people, `facts` says the same to programs. `mend`: commands for a shell, one a line."""

    name: str
    verdict: Verdict
    detail: str
    mend: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What belongs together on the screen."""

    title: str
    findings: tuple[Finding, ...]


def ok(name: str, detail: str, *, mend: str | None = None, **facts: object) -> Finding:
    return Finding(name=name, verdict=Verdict.OK, detail=detail, mend=mend, facts=facts)


def hint(name: str, detail: str, *, mend: str | None = None, **facts: object) -> Finding:
    return Finding(name=name, verdict=Verdict.HINT, detail=detail, mend=mend, facts=facts)


def failed(name: str, detail: str, *, mend: str | None = None, **facts: object) -> Finding:
    return Finding(name=name, verdict=Verdict.FAILED, detail=detail, mend=mend, facts=facts)
