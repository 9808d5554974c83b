"""One thing that `flowbridge check` saw, with what to do where it is wrong."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    HINT = "hint"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    name: str
    verdict: Verdict
    detail: str


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, verdict=Verdict.OK, detail=detail)


def hint(name: str, detail: str) -> Finding:
    return Finding(name=name, verdict=Verdict.HINT, detail=detail)


def failed(name: str, detail: str) -> Finding:
    return Finding(name=name, verdict=Verdict.FAILED, detail=detail)
