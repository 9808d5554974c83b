"""Bugs on purpose: each is caught by the simulation, by the law that it breaks, within a few hundred schedules."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from chaos.planted import planted
from hypothesis import HealthCheck, Phase, given, seed, settings

from worker.bridge import calling, obtaining
from worker.bridge.calling import Calling
from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason, Leash
from worker.bridge.slot import Slot
from worker.core.outcome import Indeterminate
from worker.core.request import Call
from worker.core.settlement import Abandon, Settled

from .fake_queue import FakeLane
from .schedule import Schedule, run, schedules
from .transcript import LawBrokenError

Patching = pytest.MonkeyPatch
SCHEDULES: Final = 600

CAMPAIGNS: Final = {
    "complete-before-reply": "is lost: completed before it was answered",
    "complete-before-copy": "is lost: completed before it was answered",
    "no-renewal": "a lock is renewed while its request is worked on",
    "abandon-on-shutdown": "nothing but a lost lock or the end of the drain cuts a call",
    "random-reply-id": "every reply to .* is the same message",
    "forgetful": "the worker that may have made .* run never calls again",
    "lost-lock-ignored": "a call is cut when the lock is lost",
    "hot-abandon": "nothing but a stop or a defect of ours gives a request back",
    "wrong-correlation": "a reply goes to its caller and names the request",
    "drained-without-settling": "all slots are given back",
    "sure-of-others": "is told .*, but its flow may have run",
}


def lock_loss_cuts_nothing(patching: Patching) -> None:
    cut = Leash.cut

    def but_for_lost_locks(self: Leash, reason: CutReason) -> None:
        if reason is not CutReason.LOCK_LOST:
            cut(self, reason)

    patching.setattr(Leash, "cut", but_for_lost_locks)


def unconfirmed_is_done(patching: Patching) -> None:
    settle = FakeLane._settle_one

    def hopeful(self: FakeLane, *arguments: Any) -> Settled:
        result = settle(self, *arguments)
        return Settled.DONE if result is Settled.FAILED else result

    patching.setattr(FakeLane, "_settle_one", hopeful)


def after_crash_is_always_call(patching: Patching) -> None:
    call_of = calling.call_of

    def always(request: Any, delivery: Any, flow: Any, **keywords: Any) -> Any:
        return call_of(request, delivery, replace(flow, after_crash="call"), **keywords)

    patching.setattr(obtaining, "call_of", always)


def second_call_in_doubt(patching: Patching) -> None:
    call_once = Calling.call

    async def call(self: Calling, what: Call) -> Any:
        outcome = await call_once(self, what)
        return await call_once(self, what) if isinstance(outcome, Indeterminate) else outcome

    patching.setattr(Calling, "call", call)


def surplus_permits_are_lost(patching: Patching) -> None:
    patching.setattr(LaneWork, "_keep_permits", lambda self, needed: setattr(self, "_permits", needed))


def no_pause_after_a_defect(patching: Patching) -> None:
    async def at_once(_self: Slot) -> Abandon:
        return Abandon()

    patching.setattr(Slot, "_after_defect", at_once)


OWN: Final[dict[Callable[[Patching], None], str]] = {
    lock_loss_cuts_nothing: "a call is cut when the lock is lost",
    unconfirmed_is_done: "but the broker knows nothing of it",
    after_crash_is_always_call: "is not called for what was delivered before",
    second_call_in_doubt: "the worker that may have made .* run never calls again",
    surplus_permits_are_lost: "all slots are given back",
    no_pause_after_a_defect: "after a defect comes a pause that grows",
}


def first_broken(law: str) -> tuple[int, str | None]:
    """How many schedules it took, and the transcript."""
    schedules_run, transcript = 0, None

    @seed(4)
    @settings(
        max_examples=SCHEDULES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(schedules)
    def simulate(schedule: Schedule) -> None:
        nonlocal schedules_run, transcript
        if transcript is not None:
            raise AssertionError
        schedules_run += 1
        try:
            run(schedule)
        except LawBrokenError as broken:
            if re.search(law, broken.law):
                transcript = str(broken)
                raise AssertionError from None

    with contextlib.suppress(AssertionError):
        simulate()
    return schedules_run, transcript


@pytest.mark.parametrize(("bug", "law"), CAMPAIGNS.items(), ids=CAMPAIGNS)
def test_a_bug_of_the_campaign_breaks_its_law(bug: str, law: str) -> None:
    with planted(bug):
        schedules_run, transcript = first_broken(law)
    assert transcript is not None, f"{bug} went unnoticed in {schedules_run} schedules"


@pytest.mark.parametrize(("bug", "law"), OWN.items(), ids=[bug.__name__ for bug in OWN])
def test_a_bug_of_the_bridge_breaks_its_law(bug: Callable[[Patching], None], law: str, monkeypatch: Patching) -> None:
    bug(monkeypatch)
    schedules_run, transcript = first_broken(law)
    assert transcript is not None, f"{bug.__name__} went unnoticed in {schedules_run} schedules"
