"""Which dead letters a command is about, and which of these may be sent again."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker.core.dead_letters.journal import ARRIVED, History, Step, written
from worker.core.dead_letters.letter import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A letter is taken where each criterion that isn't empty holds. Ids and sequence numbers are one criterion."""

    reasons: Collection[str] = ()  # ignoring case
    flows: Collection[str] = ()
    ids: Collection[str] = ()  # of the message, or of the request that it is a copy of
    sequence_numbers: Collection[int] = ()

    def takes(self, letter: Letter) -> bool:
        if self.reasons and (letter.reason or "").casefold() not in {each.casefold() for each in self.reasons}:
            return False
        if self.flows and letter.flow not in self.flows:
            return False
        if not self.ids and not self.sequence_numbers:
            return True
        return letter.sequence_number in self.sequence_numbers or not {letter.message_id, letter.request_id}.isdisjoint(
            self.ids
        )

    def __str__(self) -> str:
        """The same for the same choice, however it was written."""
        criteria = {
            "reason": {reason.casefold() for reason in self.reasons},
            "flow": set(self.flows),
            "id": set(self.ids),
            "number": {str(number) for number in self.sequence_numbers},
        }
        said = [f"{name} {value!r}" for name, values in criteria.items() for value in sorted(values)]
        return ", ".join(said) or "all"


LEAST_WITNESSES: Final = 10


class Hindrance(StrEnum):
    """Why a dead letter isn't sent again."""

    MAY_HAVE_RUN = "may_have_run"
    IN_DOUBT = "in_doubt"  # an earlier replay may have sent it
    NOT_COPYABLE = "not_copyable"
    DIED_AGAIN = "died_again"  # this replay, not finished yet, sent it before


@dataclass(slots=True, kw_only=True)
class Plan:
    """Letters by sequence number: to be sent again, sent by an earlier replay that didn't complete them, and those
    that one was about to send; and how many are not sent, and why.

    A snapshot: what dies while it is carried out has another number, so nothing is replayed in a circle.
    """

    even_if_it_ran: bool
    chosen: dict[int, Letter] = field(default_factory=dict)
    sent: dict[int, Letter] = field(default_factory=dict)
    doubtful: dict[int, Letter] = field(default_factory=dict)
    hindered: Counter[Hindrance] = field(default_factory=Counter)

    def resolve(self, there: Collection[str], *, is_untouched: bool) -> None:
        """What was in doubt; `there`: the ids of copies that are in the queue, from which nobody took any where it
        `is_untouched`. What isn't there was lost, or has been taken.
        """
        for number, letter in self.doubtful.items():
            if letter.copy_id in there:
                self.sent[number] = letter
            elif is_untouched or self.may_go_twice(letter):
                self.chosen[number] = letter
            else:
                self.hindered[Hindrance.IN_DOUBT] += 1
        self.doubtful = {}

    def may_go_twice(self, letter: Letter) -> bool:
        return letter.is_repeatable or self.even_if_it_ran


def is_untouched(last_sent: Collection[str], there: Collection[str]) -> bool:
    """Whether nobody took copies out of the queue: while all that were sent last are there, later ones would be, too.

    Of a few this says nothing: they may all be in the hands of a slow flow, while a quick one is done with a later one.
    """
    return len(last_sent) >= LEAST_WITNESSES and all(copy_id in there for copy_id in last_sent)


def planned(
    letters: Sequence[Letter], history: History, *, asked: str, even_if_it_ran: bool, most: int | None = None
) -> Plan:
    """`asked`: for what, as in the history; `most`: are sent, the first of those given."""
    plan = Plan(even_if_it_ran=even_if_it_ran)
    sent_before = history.unfinished.get(asked, set())
    died = {letter.message_id for letter in letters}  # a copy that is a dead letter now has arrived, whoever saw it
    for letter in letters:
        number, step = letter.sequence_number, history.steps.get(letter.copy_id)
        if step in ARRIVED or (step is Step.SENDING and letter.copy_id in died):
            plan.sent[number] = letter
        elif step is None and written(letter.request_id) in sent_before:
            plan.hindered[Hindrance.DIED_AGAIN] += 1
        elif most is not None and len(plan.chosen) + len(plan.doubtful) >= most:
            continue
        elif not letter.is_copyable:
            plan.hindered[Hindrance.NOT_COPYABLE] += 1
        elif step is Step.SENDING:
            plan.doubtful[number] = letter
        elif letter.may_have_run and not plan.may_go_twice(letter):
            plan.hindered[Hindrance.MAY_HAVE_RUN] += 1
        else:
            plan.chosen[number] = letter
    return plan
