"""What the supervisor says of its processes, without any."""

from dataclasses import asdict
from typing import Any

import orjson

from worker.bridge.pump import PumpFacts
from worker.supervisor.documents import SILENT_S, ProcessFacts, readiness_of, status_of


def pump(**changes: Any) -> dict[str, Any]:
    calm = {"lanes": 8, "lanes_receiving": 8, "in_flight": 2, "slots_free": 98, "is_stopping": False}
    return {**calm, "is_paused": False, "failure": None, **changes}


def running(process: int, *reasons: str, silent_s: float = 0.1, **changes: Any) -> ProcessFacts:
    status = {"ready": not reasons, "reasons": list(reasons), "pump": pump(**changes)}
    return ProcessFacts(
        process=process, pid=100 + process, restarts=0, starts_in_s=None, silent_s=silent_s, status=status
    )


def ended(process: int, starts_in_s: float | None) -> ProcessFacts:
    return ProcessFacts(process=process, pid=None, restarts=3, starts_in_s=starts_in_s, silent_s=None, status=None)


def starting(process: int) -> ProcessFacts:
    return ProcessFacts(process=process, pid=100, restarts=0, starts_in_s=None, silent_s=1.2, status=None)


def reasons_of(*processes: ProcessFacts) -> tuple[str, ...]:
    return readiness_of(processes, is_draining=False).reasons


def test_the_numbers_of_the_pumps_are_summed_and_each_process_has_its_own() -> None:
    processes = [running(0), running(1, lanes_receiving=3, in_flight=5, failure="cut"), ended(2, 1.5)]
    document = status_of(processes, is_draining=False)
    assert (document["ready"], document["reasons"]) == (True, ())
    assert document["pump"] == asdict(
        PumpFacts(
            lanes=16,
            lanes_receiving=11,
            in_flight=7,
            slots_free=196,
            is_stopping=False,
            is_paused=False,
            failure="cut",
        )
    )
    assert document["processes"] == [asdict(each) for each in processes]
    assert orjson.dumps(document)


def test_a_worker_is_paused_when_all_its_processes_are() -> None:
    for first, second, both in [(True, True, True), (True, False, False)]:
        told = status_of([running(0, is_paused=first), running(1, is_paused=second), ended(2, 1.0)], is_draining=False)
        assert told["pump"]["is_paused"] is both  # type: ignore[index]  # JSON


def test_a_worker_without_any_process_says_so_in_zeros() -> None:
    told = status_of([ended(0, 1.0)], is_draining=True)
    assert set(told["pump"].values()) == {0, None}  # type: ignore[attr-defined]  # JSON


def test_why_a_process_is_not_ready_is_told_in_words() -> None:
    assert reasons_of(starting(0), ended(1, 12.3), ended(2, None), running(3, "not receiving: down")) == (
        "process 0: starting since 1 s",
        "process 1: not running, starts again in 12 s",
        "process 2: not running",
        "process 3: not receiving: down",
    )


def test_a_process_that_says_nothing_any_more_is_not_taken_for_ready() -> None:
    assert reasons_of(running(0, silent_s=SILENT_S)) == ()
    assert reasons_of(running(0, silent_s=7.0)) == ("process 0: has said nothing for 7 s",)
