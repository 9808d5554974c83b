"""Bugs on purpose: each is caught by the simulation, by the law that it breaks, within some hundred schedules."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from chaos.planted import planted
from hypothesis import HealthCheck, Phase, given, seed, settings

from worker.bridge import calling, obtaining, session_work
from worker.bridge.calling import Calling
from worker.bridge.lane_work import LaneWork
from worker.bridge.leash import CutReason, Leash
from worker.bridge.renewals import NEVER
from worker.bridge.session_work import SessionWork
from worker.bridge.slot import Slot
from worker.bridge.turns import Turns
from worker.core import in_place
from worker.core.in_place import Wait
from worker.core.outcome import Indeterminate
from worker.core.request import Call
from worker.core.session_note import Notes
from worker.core.settlement import Abandon, Settled

from .fake_queue import FakeLink
from .fake_sessions import FakeSessionLane
from .schedule import Schedule, run, schedules
from .transcript import LawBrokenError

Patching = pytest.MonkeyPatch
SCHEDULES: Final = 1200

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
    settle = FakeLink._settle_one

    def hopeful(self: FakeLink, *arguments: Any) -> Settled:
        result = settle(self, *arguments)
        return Settled.DONE if result is Settled.FAILED else result

    patching.setattr(FakeLink, "_settle_one", hopeful)


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


def nothing_is_noted(patching: Patching) -> None:
    async def begins(_self: SessionWork, _slot: Slot) -> None:
        pass

    patching.setattr(SessionWork, "_begin", begins)


def notes_stay(patching: Patching) -> None:
    patching.setattr(Notes, "gone", lambda _self: None)


def handing_back_forgets_earlier_holders(patching: Patching) -> None:
    hand_back = FakeSessionLane.hand_back

    async def forgets(self: FakeSessionLane, **keywords: Any) -> None:
        self._notes.gone()
        await hand_back(self, **keywords)

    patching.setattr(FakeSessionLane, "hand_back", forgets)


def the_next_is_received_before_the_settlement(patching: Patching) -> None:
    serve = SessionWork._serve_one

    async def alongside(self: SessionWork, delivery: Any, work: asyncio.TaskGroup) -> None:
        work.create_task(serve(self, delivery, work))
        await asyncio.sleep(0.1)

    patching.setattr(SessionWork, "_serve_one", alongside)


def a_session_goes_on_after_a_failed_settlement(patching: Patching) -> None:
    drop, settle = FakeSessionLane._drop, SessionWork._settle

    def but_for_settlements(self: FakeSessionLane) -> None:
        if self._in_use_by != "settle":
            drop(self)

    async def goes_on(self: SessionWork, slot: Slot) -> None:
        await settle(self, slot)
        self._is_held = True

    patching.setattr(FakeSessionLane, "_drop", but_for_settlements)
    patching.setattr(SessionWork, "_settle", goes_on)


def nobody_makes_room(patching: Patching) -> None:
    patching.setattr(Turns, "is_scarce", property(lambda _self: False))


def idle_sessions_are_kept(patching: Patching) -> None:
    patching.setattr(session_work, "_IDLE_S", NEVER)


def one_session_at_a_time(patching: Patching) -> None:
    get_session = SessionWork._get_session

    async def unless_one_is_held(self: SessionWork) -> bool:
        if not self._turns._holding:
            return await get_session(self)
        await asyncio.sleep(0.1)
        return False

    patching.setattr(SessionWork, "_get_session", unless_one_is_held)


def no_wait_in_place(patching: Patching) -> None:
    plan_wait = in_place.plan_wait

    def at_once(*arguments: Any, **keywords: Any) -> Any:
        wait = plan_wait(*arguments, **keywords)
        return replace(wait, delay_s=0.0) if isinstance(wait, Wait) else wait

    patching.setattr(obtaining, "plan_wait", at_once)


def no_end_in_place(patching: Patching) -> None:
    plan_wait = in_place.plan_wait

    def ever_anew(*arguments: Any, **keywords: Any) -> Any:
        return plan_wait(*arguments, **{**keywords, "tries": 0, "waited_s": 0.0})

    patching.setattr(obtaining, "plan_wait", ever_anew)


def session_locks_are_not_renewed(patching: Patching) -> None:
    patching.setattr(SessionWork, "_plan_renewal", lambda _self: None)


def lost_sessions_cut_nothing(patching: Patching) -> None:
    patching.setattr(SessionWork, "_lose", lambda self: setattr(self, "_is_held", False))


def a_stop_counts(patching: Patching) -> None:
    settle = SessionWork._settle

    async def as_ever(self: SessionWork, slot: Slot) -> None:
        is_stopping, self._is_stopping = self._is_stopping, False
        await settle(self, slot)
        self._is_stopping |= is_stopping

    patching.setattr(SessionWork, "_settle", as_ever)


OF_SESSIONS: Final[dict[Callable[[Patching], None], str]] = {
    nothing_is_noted: "is never called twice",
    notes_stay: "no note is left of what has ended",
    handing_back_forgets_earlier_holders: "is never called twice|but its flow may have run|no crash is the reason",
    the_next_is_received_before_the_settlement: "what is in hand is settled before more is asked for",
    a_session_goes_on_after_a_failed_settlement: "in a session one comes after the other",
    unconfirmed_is_done: "but the broker knows nothing of it",
    nobody_makes_room: "a session makes room after its turn|an idle session is handed back",
    idle_sessions_are_kept: "an idle session is handed back",
    one_session_at_a_time: "no session waits while a lane is idle",
    no_wait_in_place: "before a further try comes a wait",
    no_end_in_place: "tries have an end|a session waits .* for one request at most",
    session_locks_are_not_renewed: "the lock on a session is renewed while it is held",
    lost_sessions_cut_nothing: "a call is cut when the lock is lost",
    a_stop_counts: "a stop costs what was not called no delivery",
    after_crash_is_always_call: "is not called for what was delivered before",
}


def first_broken(law: str, *, is_ordered: bool = False) -> tuple[int, str | None]:
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
            run(schedule, is_ordered=is_ordered)
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


@pytest.mark.parametrize(("bug", "law"), OF_SESSIONS.items(), ids=[bug.__name__ for bug in OF_SESSIONS])
def test_a_bug_with_sessions_breaks_its_law(bug: Callable[[Patching], None], law: str, monkeypatch: Patching) -> None:
    bug(monkeypatch)
    schedules_run, transcript = first_broken(law, is_ordered=True)
    assert transcript is not None, f"{bug.__name__} went unnoticed in {schedules_run} schedules"
