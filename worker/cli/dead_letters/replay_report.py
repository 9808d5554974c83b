"""What came of a replay, for people and programs."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from worker.cli.dead_letters.replay_asked import EVEN_IF_IT_RAN, Asked
from worker.cli.dead_letters.source import Seen, name_of, unreadable_sentence
from worker.cli.dead_letters.words import counted
from worker.cli.failure import OTHERWISE
from worker.cli.process import INTERRUPTED
from worker.core.dead_letters.selection import Hindrance, Plan
from worker.servicebus.connect import Source

_EXAMPLES: Final = 3
_HINDRANCES: Final = {
    Hindrance.MAY_HAVE_RUN: "skipped, because a run of a flow that isn't idempotent may have begun "
    f"({EVEN_IF_IT_RAN} takes them)",
    Hindrance.IN_DOUBT: "skipped, because an earlier replay may have sent them: they aren't in the queue, but a worker "
    f"may have taken them ({EVEN_IF_IT_RAN} takes them)",
    Hindrance.NOT_COPYABLE: "skipped, because their body is an AMQP sequence or value, which can't be copied",
    Hindrance.DIED_AGAIN: "skipped, because they died again after this replay sent them (once it is done, a new one "
    "takes them)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Sequence numbers. `sent`: here, completed or not; `gone`: taken out by somebody else; `left`: not come to."""

    completed: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    in_doubt: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    failure: str | None = None
    is_interrupted: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing that the same command would go on with."""
        return not (self.failure or self.is_interrupted or self.in_doubt or self.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    source: Source
    to: str
    found: Seen
    plan: Plan
    done: Done
    journal: Path
    asked: Asked

    @property
    def status(self) -> int:
        done = self.done
        if done.is_interrupted:
            return INTERRUPTED
        return OTHERWISE if done.failed or not done.is_finished else 0

    def facts(self) -> dict[str, Any]:
        """`replayed` is how many were sent; `finished` those that an earlier one had sent. `would_…`: of a dry run."""
        done, plan = self.done, self.plan
        would = (len(plan.chosen), len(plan.sent)) if self.asked.is_dry_run else (None, None)
        return {
            "queue": name_of(self.source),
            "to": self.to,
            "dry_run": self.asked.is_dry_run,
            "found": len(self.found.letters),
            "would_replay": would[0],
            "would_finish": would[1],
            "replayed": len(done.sent),
            "finished": len(done.completed & plan.sent.keys()),
            "completed": len(done.completed),
            "skipped": {why.value: plan.hindered[why] for why in Hindrance},
            "routed_elsewhere": dict(self._routed_elsewhere()),
            "unreadable": self.found.unreadable,
            "failed": {str(number): why for number, why in done.failed.items()},
            "in_doubt": sorted(done.in_doubt),
            "gone": len(done.gone),
            "left": len(done.left),
            "failure": done.failure,
            "interrupted": done.is_interrupted,
            "journal": str(self.journal),
        }

    def lines(self) -> list[str]:
        """The last one is the summary."""
        return [
            *self._elsewhere_lines(),
            *(
                f"{counted(self.plan.hindered[why], 'dead letter')} {how}."
                for why, how in _HINDRANCES.items()
                if self.plan.hindered[why]
            ),
            *([unreadable_sentence(self.found.unreadable)] if self.found.unreadable else []),
            *self._failure_lines(),
            self._summary(),
        ]

    def _summary(self) -> str:
        done, plan = self.done, self.plan
        of = f"of {counted(len(self.found.letters), 'dead letter')} of {self.source} to queue '{self.to}'"
        if self.asked.is_dry_run:
            finish = f", and complete {len(plan.sent):,} that an earlier replay sent" if plan.sent else ""
            return f"would replay {len(plan.chosen):,} {of}{finish}; nothing was done"
        finished = len(done.completed & plan.sent.keys())
        parts = [
            f"{'interrupted: ' if done.is_interrupted else ''}replayed {len(done.sent):,} {of}",
            f"completed {finished:,} that an earlier replay had sent" if finished else "",
            f"{len(done.sent - done.completed):,} sent but not completed yet" if done.sent - done.completed else "",
            f"{len(done.gone):,} were taken out by somebody else" if done.gone else "",
            f"{len(done.left - done.sent):,} not come to" if done.left - done.sent else "",
            f"{len(done.failed):,} failed" if done.failed else "",
            f"{len(done.in_doubt):,} in doubt" if done.in_doubt else "",
        ]
        goes_on = "; the same command goes on from here" if not done.is_finished else ""
        journal = f"; journal: {self.journal}" if plan.chosen or plan.sent else ""
        return "; ".join(filter(None, parts)) + goes_on + journal

    def _failure_lines(self) -> list[str]:
        done = self.done
        of_each = Counter(done.failed.values()).most_common(_EXAMPLES)
        doubt = (
            f"{counted(len(done.in_doubt), 'dead letter')} may have been sent: the link was lost meanwhile, and the "
            f"copies aren't in the queue, but a worker may have taken them. They stay; "
            f"{EVEN_IF_IT_RAN} sends them again."
        )
        return [
            *(f"{counted(count, 'dead letter')} not taken by queue '{self.to}': {why}" for why, count in of_each),
            *([doubt] if done.in_doubt else []),
            *([done.failure] if done.failure else []),
            *([self._locked_line()] if done.left and not done.failure and not done.is_interrupted else []),
        ]

    def _locked_line(self) -> str:
        return (
            f"{counted(len(self.done.left), 'dead letter')} could not be had within the time of a lock: somebody else "
            "holds them, or more lie before them than can be passed in that time."
        )

    def _routed_elsewhere(self) -> Counter[str]:
        """What a route takes before the property that was set is looked at."""
        to_flow = self.asked.to_flow
        if to_flow is None:
            return Counter()
        return Counter(letter.goes_to or "" for letter in self.plan.chosen.values() if letter.goes_to != to_flow)

    def _elsewhere_lines(self) -> list[str]:
        return [
            f"{counted(count, 'dead letter')} go{'es' if count == 1 else ''} to flow {flow!r} all the same: a route "
            "takes precedence over the property."
            for flow, count in self._routed_elsewhere().items()
        ]
