"""Dead letters counted by what befell them and where they belong."""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.dead_letters.letter import Letter


@dataclass(slots=True, kw_only=True)
class Group:
    """Times are epoch milliseconds, the broker's."""

    reason: str | None
    flow: str | None
    count: int
    oldest_ms: int
    newest_ms: int


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """The largest first; of equal ones by name."""
    groups: dict[tuple[str | None, str | None], Group] = {}
    for letter in letters:
        at = letter.enqueued_time_ms
        group = groups.get((letter.reason, letter.flow))
        if group is None:
            groups[letter.reason, letter.flow] = Group(
                reason=letter.reason, flow=letter.flow, count=1, oldest_ms=at, newest_ms=at
            )
        else:
            group.count += 1
            group.oldest_ms, group.newest_ms = min(group.oldest_ms, at), max(group.newest_ms, at)
    return sorted(groups.values(), key=lambda group: (-group.count, group.reason or "", group.flow or ""))
