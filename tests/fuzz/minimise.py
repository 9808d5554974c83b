"""A failing input cut down: pieces taken out, then what is left made plain, as long as it fails in the same way."""

import time
from typing import Final

from fuzz.search import Failure, failure_of
from fuzz.target import Target

LONGEST_S: Final = 15.0
_PLAIN: Final = b"0a\x00"


def minimised(target: Target, failure: Failure) -> Failure:
    ends_at = time.monotonic() + LONGEST_S
    best = failure
    size = max(1, len(best.data) // 2)
    while size and time.monotonic() < ends_at:
        shorter = _without_pieces(target, best, size, ends_at)
        is_done = len(shorter.data) == len(best.data)
        best = shorter
        size = size // 2 if is_done else min(size, max(1, len(best.data) // 2))
    return _made_plain(target, best, ends_at)


def _without_pieces(target: Target, failure: Failure, size: int, ends_at: float) -> Failure:
    best, at = failure, 0
    while at < len(best.data) and time.monotonic() < ends_at:
        tried = _same(target, best, best.data[:at] + best.data[at + size :])
        if tried is None:
            at += size
        else:
            best = tried
    return best


def _made_plain(target: Target, failure: Failure, ends_at: float) -> Failure:
    best = failure
    for at in range(len(best.data)):
        for plain in _PLAIN:
            if time.monotonic() >= ends_at or best.data[at] in _PLAIN:
                break
            best = _same(target, best, best.data[:at] + bytes((plain,)) + best.data[at + 1 :]) or best
    return best


def _same(target: Target, failure: Failure, data: bytes) -> Failure | None:
    tried = failure_of(target, data)
    return tried if tried is not None and tried.kind == failure.kind else None
