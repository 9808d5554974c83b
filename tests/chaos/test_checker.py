"""The checker on hand-made rounds: what it must see, and what it must not complain of."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from chaos import cut_laws, fleet_laws, laws
from chaos.callers import unheard
from chaos.checker import check
from chaos.laws import Admitted
from chaos.plan import Asked, Do, Kind, Step, Way, Wrong
from chaos.records import (
    Call,
    DeadLetter,
    Delivered,
    Ending,
    Event,
    Harm,
    Life,
    Line,
    Replied,
    Requested,
    Round,
    Settled,
)

ID = "r0-1"


@dataclass
class Story:
    """A round of one request, told step by step; a second passes with each."""

    flow: str = "risky"
    way: Way = Way.CALLER
    wrong: Wrong | None = None
    events: list[Event] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    harms: list[Harm] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.asked(ID)

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    def asked(self, branch: str, **more: Any) -> "Story":
        is_copy = branch != ID
        self.events.append(
            Requested(at=self.tick(), branch=branch, request_id=ID, by="callers", is_copy=is_copy, **more)
        )
        return self

    def given(self, by: str = "w1.1", *, branch: str = ID, count: int = 0) -> "Story":
        self.lives.setdefault(by, Life(by=by, began_at=0.0))
        lock = f"{branch}/{count}"
        self.events.append(
            Delivered(at=self.tick(), branch=branch, lock=lock, count=count, by=by, sequence_number=len(branch) + count)
        )
        return self

    def called(self, by: str = "w1.1", ending: Ending = Ending.ANSWERED, *, takes_s: float = 0.1) -> "Story":
        at, run = self.tick(), f"run-{len(self.calls)}"
        body = run.encode() if ending in {Ending.ANSWERED, Ending.ACCEPTED} else None
        self.calls.append(
            Call(
                request_id=ID,
                flow=self.flow,
                by=by,
                at=at,
                run=run,
                number=len(self.calls),
                ending=ending,
                ended_at=at + takes_s,
                body=body,
            )
        )
        return self

    def replied(self, outcome: str = "answered", body: bytes = b"run-0", **more: Any) -> "Story":
        values: dict[str, Any] = {"session": unheard("s1"), "correlation_id": ID, "by": "w1.1", **more}
        self.events.append(Replied(at=self.tick(), request_id=ID, outcome=outcome, body=body, **values))
        return self

    def settled(self, how: str = "complete", *, branch: str = ID, count: int = 0) -> "Story":
        self.events.append(Settled(at=self.tick(), branch=branch, lock=f"{branch}/{count}", how=how))
        return self

    def dead_lettered(self, reason: str, *, count: int = 0) -> "Story":
        self.dead.append(DeadLetter(branch=ID, request_id=ID, reason=reason, description="why"))
        return self.settled("dead_letter", count=count)

    def killed(self, by: str = "w1.1") -> "Story":
        at = self.tick()
        self.harms.append(Harm(kind=Kind.KILL, at=at, until=at, by=by))
        self.lives[by].ended_at, self.lives[by].status = at, -9
        return self

    def said(self, event: str, by: str = "w1.1", level: str = "warning", **said: object) -> "Story":
        self.lines.append(Line(at=self.tick(), by=by, event=event, level=level, said=said))
        return self

    def broken(self, admitted: Admitted | None = None) -> set[str]:
        asked = Asked(
            request_id=ID,
            at_s=0,
            flow=self.flow,
            way=self.way,
            session="s1",
            steps=(Step(do=Do.ANSWER),),
            wrong=self.wrong,
        )
        record = Round(
            asked={ID: asked},
            events=self.events,
            calls=self.calls,
            lines=self.lines,
            harms=self.harms,
            lives=list(self.lives.values()),
            dead=self.dead,
            left=self.left,
            ended_at=self.now,
        )
        return {violation.law for violation in check(record, admitted)}


def test_a_request_that_is_called_answered_and_completed_breaks_nothing() -> None:
    assert Story().given().called().replied().settled().broken() == set()


def test_a_request_without_answer_or_dead_letter_is_seen() -> None:
    assert laws.ANSWERED_ONCE in Story().given().called().settled().broken()


def test_two_visible_answers_are_seen_and_a_dropped_repeat_is_none() -> None:
    twice = Story().given().called().replied().replied().settled()
    assert laws.ANSWERED_ONCE in twice.broken()
    assert Story().given().called().replied().replied(is_repeat=True).settled().broken() == set()


@pytest.mark.parametrize("wrong", [{"session": "s2-unheard"}, {"correlation_id": "r0-2"}])
def test_an_answer_elsewhere_is_seen(wrong: dict[str, Any]) -> None:
    assert Story().given().called().replied(**wrong).settled().broken() == {laws.OWN_SESSION}


def test_an_answer_that_no_run_gave_is_seen() -> None:
    assert Story().given().called().replied(body=b"run-9").settled().broken() == {laws.TRUE}


@pytest.mark.parametrize("outcome", ["unavailable", "expired"])
def test_surely_not_run_is_untrue_of_a_call_that_may_have_run(outcome: str) -> None:
    doubtful = Story().given().called(ending=Ending.CUT).replied(outcome).settled()
    assert doubtful.broken() == {laws.TRUE}
    refused = Story().given().called(ending=Ending.NOT_RUN).replied(outcome).settled()
    assert refused.broken() == set()


def test_surely_not_run_may_be_belied_by_a_call_after_a_crash_between_reply_and_complete() -> None:
    admitted = Admitted()
    story = Story().given().replied("unavailable").killed().given("w2.1", count=1).called("w2.1")
    assert story.replied(is_repeat=True, by="w2.1").settled(count=1).broken(admitted) == set()
    assert admitted.rows[laws.AFTER_ITS_REPLY] == 1


def test_doubt_without_a_reason_is_seen() -> None:
    assert Story().given().called().replied("indeterminate").settled().broken() == {laws.TRUE}
    assert Story().given().called(ending=Ending.CUT).replied("indeterminate").settled().broken() == set()


def test_complete_before_the_reply_is_seen() -> None:
    assert Story().given().called().settled().replied().broken() == {laws.REPLY_FIRST}


def test_complete_before_the_copy_is_seen_and_after_it_is_well() -> None:
    early = Story(way=Way.ONE_WAY).given().settled().asked("copy").given(branch="copy").called()
    assert early.settled(branch="copy").broken() == {laws.ONE_WAY}
    well = Story(way=Way.ONE_WAY).given().asked("copy").settled().given(branch="copy").called()
    assert well.settled(branch="copy").broken() == set()


def test_a_one_way_request_that_is_completed_without_an_answer_is_seen() -> None:
    assert Story(way=Way.ONE_WAY).given().called(ending=Ending.CUT).settled().broken() == {laws.ONE_WAY}


def test_a_dead_letter_needs_a_reason_of_the_contract() -> None:
    by_broker = Story(way=Way.ONE_WAY).given().called(ending=Ending.CUT).dead_lettered("MaxDeliveryCountExceeded")
    assert by_broker.broken() == {laws.ANSWERED_ONCE}
    by_worker = Story(way=Way.ONE_WAY).given().called(ending=Ending.CUT).dead_lettered("FlowIndeterminate")
    assert by_worker.broken() == set()


def test_an_address_that_is_not_allowed_gets_no_call() -> None:
    story = Story(wrong=Wrong.NOT_ALLOWED).given()
    assert story.dead_lettered(Wrong.NOT_ALLOWED).broken() == set()
    called = Story(wrong=Wrong.NOT_ALLOWED).given().called()
    assert called.dead_lettered(Wrong.NOT_ALLOWED).broken() == {laws.ADDRESS}


def test_a_second_call_by_the_same_worker_is_seen_unless_the_first_surely_did_not_run() -> None:
    twice = Story().given().called(ending=Ending.CUT).called().replied(body=b"run-1").settled()
    assert twice.broken() == {laws.ONE_CALL}
    retried = Story().given().called(ending=Ending.NOT_RUN).called().replied(body=b"run-1").settled()
    assert retried.broken() == set()
    idempotent = Story(flow="safe").given().called(ending=Ending.CUT).called().replied(body=b"run-1").settled()
    assert idempotent.broken() == set()


def crashed(flow: str) -> Story:
    story = Story(flow=flow).given().called(ending=Ending.GONE).killed()
    story.calls[-1].ended_at = story.now
    return story.given("w2.1", count=1).called("w2.1").replied(body=b"run-1", by="w2.1").settled(count=1)


def test_another_worker_calls_again_after_a_crash_only_where_after_crash_says_so() -> None:
    admitted = Admitted()
    assert crashed("risky").broken(admitted) == set()
    assert admitted.rows[laws.REDELIVERED] == 1
    assert crashed("wary").broken() == {laws.AFTER_CRASH}


def test_another_worker_never_calls_again_on_a_first_delivery() -> None:
    story = Story().given().asked("copy").called(ending=Ending.CUT).settled()
    assert laws.AFTER_CRASH in story.given("w2.1", branch="copy").called("w2.1").replied(body=b"run-1").broken()


def test_a_delivery_count_grows_only_for_a_reason() -> None:
    lost = Story().given().said("lock_lost", sequence_number=len(ID)).given("w2.1", count=1).called("w2.1").replied()
    assert lost.settled(count=1).broken() == {fleet_laws.CAUSE}
    lost.harms.append(Harm(kind=Kind.RESET_REQUESTS, at=102.5, until=102.5, by="w1.1", entity="flow-requests"))
    assert lost.broken() == set()
    lost.harms[-1] = replace(lost.harms[-1], by="w3.1")
    assert lost.broken() == {fleet_laws.CAUSE}


def test_only_a_worker_that_stops_abandons() -> None:
    story = Story(flow="safe").given().settled("abandon").given(count=1).called().replied().settled(count=1)
    assert story.broken() == {fleet_laws.ABANDONED}
    story.lives["w1.1"].told_to_stop_at = 101.0
    assert story.broken() == set()


def test_a_lost_lock_must_be_said_by_whoever_lived_to_see_it() -> None:
    story = Story().given().given("w2.1", count=1).called("w2.1").replied().settled(count=1)
    story.harms.append(Harm(kind=Kind.LOSE_LOCK, at=103.0, until=103.0, by="w1.1", branch=ID, entity="flow-requests"))
    assert story.broken() == {fleet_laws.SAID}
    assert story.said("lock_lost", sequence_number=len(ID)).broken() == set()


def test_a_settlement_that_is_claimed_but_was_not_made_is_seen() -> None:
    story = Story().given().called().replied().given("w2.1", count=1).called("w2.1").settled(count=1)
    story.harms.append(Harm(kind=Kind.SETTLEMENT_LOST, at=104.0, until=104.0, by="w1.1", entity="flow-requests"))
    story.said("lock_lost", sequence_number=len(ID))
    assert story.broken() == set()
    claimed: dict[str, Any] = {
        "sequence_number": len(ID),
        "delivery_count": 0,
        "settled": "done",
        "settlement": "Complete",
    }
    assert story.said("request_ended", level="info", **claimed).broken() == {fleet_laws.DONE}


def test_a_call_that_goes_on_after_its_lock_was_lost_is_seen() -> None:
    story = Story().given().called(ending=Ending.ANSWERED, takes_s=9.0).given("w2.1", count=1).replied()
    story.settled(count=1).said("lock_lost", sequence_number=len(ID))
    story.harms.append(Harm(kind=Kind.LOSE_LOCK, at=104.0, until=104.0, by="w1.1", branch=ID, entity="flow-requests"))
    assert story.broken() == {cut_laws.LET_GO}


def test_a_call_that_is_cut_without_a_reason_is_seen() -> None:
    story = Story().given().called(ending=Ending.GONE, takes_s=1.0).replied("indeterminate").settled()
    assert story.broken() == {cut_laws.CUT}
    story.calls[-1].ended_at = story.calls[-1].at + 7.0
    assert story.broken() == set()


@pytest.mark.parametrize(("status", "is_well"), [(0, True), (1, False), (-11, False)])
def test_a_worker_that_is_told_to_stop_ends_with_0(status: int, *, is_well: bool) -> None:
    story = Story().given().called().replied().settled().said("worker_started", level="info")
    story.lives["w1.1"] = Life(
        by="w1.1", began_at=0, told_to_stop_at=story.now + 1, ended_at=story.now + 3, status=status
    )
    assert story.broken() == (set() if is_well else {fleet_laws.CLEAN})


def test_a_drain_that_takes_too_long_is_seen() -> None:
    story = Story().given().called().replied().settled().said("worker_started", level="info")
    story.lives["w1.1"] = Life(by="w1.1", began_at=0, told_to_stop_at=story.now + 1, ended_at=story.now + 60, status=0)
    assert story.broken() == {fleet_laws.CLEAN}


def test_a_worker_that_ends_by_itself_an_error_and_what_is_left_are_seen() -> None:
    story = Story().given().called().replied().settled()
    story.lives["w1.1"].ended_at, story.lives["w1.1"].status = story.now, 1
    story.said("bridge_defect", level="error")
    story.left.append(ID)
    assert story.broken() == {fleet_laws.ALIVE, fleet_laws.LOG, fleet_laws.DRAINED}
