"""What a person reads when a law is broken."""

from functools import partial

import pytest

from worker.bridge.calling import Calling
from worker.bridge.process import Passage
from worker.core.reply import Undelivered

from .ledger import Ask
from .schedule import run
from .simulation import Simulation
from .transcript import LawBrokenError, Saw, Transcript
from .virtual_time import STARTS_AT
from .world import ANSWERED, INDETERMINATE, RISKY, WARY

QUIET = b"\0" * 8
ONE_ASKED = [b"\0" * 10]


def test_a_reply_after_complete_is_told_in_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    async def later(_self: Passage, *_: object) -> Undelivered | None:
        return None

    monkeypatch.setattr(Passage, "_publish", later)
    with pytest.raises(LawBrokenError) as broken:
        run((QUIET, ONE_ASKED, []))
    assert str(broken.value).splitlines() == [
        "m-1 is lost: completed before it was answered, and no copy goes on with it",
        "t=0.00 worker-1 starts",
        "t=0.00 queue → m-1 is sent to flow risky by caller-m-1",
        "t=0.05 worker-1 lane-0 receives m-1 (delivery 1)",
        "t=0.05 flow risky called for m-1 by worker-1 (attempt 1)",
        "t=0.55 flow risky for m-1: answered",
        "t=0.60 worker-1 lane-0 completes m-1",
        "t=0.60 LAW BROKEN: m-1 is lost: completed before it was answered, and no copy goes on with it",
    ]


def test_it_tells_of_faults_and_of_who_went_on() -> None:
    simulation = Simulation(posts=2)
    try:
        simulation.do(lambda: simulation.send(Ask(flow=RISKY, endings=(INDETERMINATE, ANSWERED), takes_s=5.0)))
        simulation.advance(1.0)
        simulation.do(lambda: simulation.kill(0, is_heard=False))
        simulation.settle_down()
    finally:
        simulation.close()
    assert list(simulation.transcript.lines()) == [
        "t=0.00 worker-1 starts",
        "t=0.00 worker-2 starts",
        "t=0.00 queue → m-1 is sent to flow risky by caller-m-1",
        "t=0.05 worker-1 lane-0 receives m-1 (delivery 1)",
        "t=0.05 flow risky called for m-1 by worker-1 (attempt 1)",
        "t=1.00 worker-1 dies; what it was just sending is lost",
        "t=1.00 nothing goes wrong from now on",
        "t=20.05 the lock on m-1 expires, held by nobody who lives",
        "t=20.05 worker-2 lane-0 receives m-1 (delivery 2)",
        "t=20.05 flow risky called for m-1 by worker-2 (attempt 2)",
        "t=25.05 flow risky for m-1: answered",
        "t=25.05 reply m-1 → caller-m-1 by worker-2: answered",
        "t=25.10 worker-2 lane-0 completes m-1",
        "t=25.10 worker-2 is told to stop",
        "t=25.61 worker-2 has drained and is gone",
    ]


def test_a_story_with_sessions_tells_who_held_which_and_what_was_noted() -> None:
    simulation = Simulation(posts=2, is_ordered=True)
    try:
        for nth in range(2):
            ask = Ask(flow=WARY, session="s-1", has_caller=nth == 0, endings=(ANSWERED,), takes_s=5.0)
            simulation.do(partial(simulation.send, ask))
        simulation.advance(1.0)
        simulation.do(lambda: simulation.kill(0, is_heard=False))
        simulation.settle_down()
    finally:
        simulation.close()
    assert list(simulation.transcript.lines()) == [
        "t=0.00 worker-1 starts",
        "t=0.00 worker-2 starts",
        "t=0.00 s-1 → m-1 is sent to flow wary by caller-m-1",
        "t=0.00 s-1 → m-2 is sent to flow wary by nobody who waits",
        "t=0.05 worker-1 lane-0 accepts session s-1",
        "t=0.05 worker-1 lane-0 receives m-1 (delivery 1)",
        "t=0.06 worker-1 lane-0 notes in session s-1 that it begins (time 1)",
        "t=0.06 flow wary called for m-1 by worker-1 (attempt 1)",
        "t=1.00 worker-1 dies; what it was just sending is lost",
        "t=1.00 nothing goes wrong from now on",
        "t=1.00 worker-2 lane-0 accepts session s-1",
        "t=1.00 worker-2 lane-0 receives m-1 (delivery 2)",
        "t=1.01 worker-2 lane-0 notes in session s-1 that it begins (time 2)",
        "t=1.01 reply m-1 → caller-m-1 by worker-2: indeterminate",
        "t=1.01 worker-2 lane-0 completes m-1",
        "t=1.01 worker-2 lane-0 receives m-2 (delivery 1)",
        "t=1.01 worker-2 lane-0 notes in session s-1 that it begins (time 1)",
        "t=1.01 flow wary called for m-2 by worker-2 (attempt 1)",
        "t=6.01 flow wary for m-2: answered",
        "t=6.01 worker-2 lane-0 completes m-2",
        "t=6.01 worker-2 is told to stop",
        "t=6.02 worker-2 lane-0 hands back session s-1",
        "t=6.02 worker-2 has drained and is gone",
    ]


def test_a_defect_of_ours_is_named_by_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_self: Calling, *_: object) -> None:
        raise LookupError("nobody planted this")

    monkeypatch.setattr(Calling, "call", fails)
    with pytest.raises(LawBrokenError, match="a defect that nobody planted: LookupError: nobody planted this"):
        run((QUIET, ONE_ASKED, []))


def test_of_a_long_story_the_end_is_shown() -> None:
    transcript = Transcript()
    for number in range(1000):
        transcript.add(STARTS_AT + number, Saw.COPY_DUE, f"m-{number}")
    first, *_, last = str(transcript).splitlines()
    assert first == "… 600 lines before"
    assert last == "t=999.00 m-999 is there"
    assert transcript.counts() == {Saw.COPY_DUE: 1000}


def test_a_worker_that_stands_still_is_overtaken_and_told_when_it_goes_on() -> None:
    simulation = Simulation(posts=2, lock_s=5.0, concurrency=1)
    try:
        simulation.do(lambda: simulation.send(Ask(flow=RISKY, endings=(ANSWERED,), takes_s=15.0)))
        simulation.advance(1.0)
        simulation.do(lambda: simulation.freeze(0))
        simulation.advance(6.0)
        simulation.settle_down()
    finally:
        simulation.close()
    lines = [line.partition(" ")[2] for line in simulation.transcript.lines()]
    overtaken = lines.index("worker-2 lane-0 receives m-1 (delivery 2)")
    assert lines.index("the call of flow risky for m-1 is cut by worker-1") > overtaken
    assert lines.count("reply m-1 → caller-m-1 by worker-2: answered") == 1
