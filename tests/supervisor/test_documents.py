"""What the supervisor says of its processes, without any."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from worker.bridge.pump import PumpFacts
from worker.core.recent import Recent
from worker.supervisor.documents import SILENT_S, ProcessFacts, readiness_of, status_of


def pump(**changes: Any) -> dict[str, Any]:
    calm = {"lanes": 8, "lanes_receiving": 8, "in_flight": 2, "slots": 100, "slots_free": 98, "is_stopping": False}
    counts = {"renewals": 1, "locks_lost": 0, "unconfirmed": 0, "outages": 0}
    return {**calm, **counts, "is_paused": False, "failure": None, **changes}


def flow(name: str, **changes: Any) -> dict[str, Any]:
    calm = {"circuit": "closed", "openings": 0, "reopens_in_s": None, "in_flight": 1, "waiting": 0, "limit": 50}
    return {"name": name, **calm, "most": 50, "rate_per_s": 5.0, "fastest_decile_s": None, "held": 1, **changes}


def told_of(processes: Sequence[ProcessFacts], *, is_draining: bool = False) -> dict[str, Any]:
    return status_of(processes, began_at=0.0, is_draining=is_draining, is_steerable=False)


def running(process: int, *reasons: str, silent_s: float = 0.1, **changes: Any) -> ProcessFacts:
    tokens = [{"scope": "s", "usable_s": 100.0 - process, "age_s": 1.0, "failure": None, "failures": 0}]
    status = {
        "ready": not reasons,
        "reasons": list(reasons),
        "pump": pump(**changes),
        "flows": [flow("a"), flow("b", circuit="open" if process else "closed", reopens_in_s=3.0 if process else None)],
        "tokens": tokens,
        "fleet": {"workers": 2, "counted_by": None, "failure": None},
        "loop_lag_s": 0.1 * process,
    }
    recent = Recent()
    recent.note("a", "answered", took_s=0.2, at=time.time())
    return ProcessFacts(
        process=process,
        pid=100 + process,
        restarts=0,
        starts_in_s=None,
        silent_s=silent_s,
        status=status,
        recent=orjson.dumps(recent.told()),
    )


def ended(process: int, starts_in_s: float | None) -> ProcessFacts:
    return ProcessFacts(process=process, pid=None, restarts=3, starts_in_s=starts_in_s, silent_s=None, status=None)


def starting(process: int) -> ProcessFacts:
    return ProcessFacts(process=process, pid=100, restarts=0, starts_in_s=None, silent_s=1.2, status=None)


def reasons_of(*processes: ProcessFacts) -> tuple[str, ...]:
    return readiness_of(processes, is_draining=False).reasons


def test_the_numbers_of_the_pumps_are_summed_and_each_process_has_its_own() -> None:
    processes = [running(0), running(1, lanes_receiving=3, in_flight=5, failure="cut"), ended(2, 1.5)]
    document = told_of(processes)
    assert (document["ready"], document["reasons"]) == (True, ())
    assert document["pump"] == asdict(
        PumpFacts(
            lanes=16,
            lanes_receiving=11,
            in_flight=7,
            slots=200,
            slots_free=196,
            is_stopping=False,
            is_paused=False,
            failure="cut",
            renewals=2,
            locks_lost=0,
            unconfirmed=0,
            outages=0,
        )
    )
    assert [each["status"] for each in document["processes"]] == [each.status for each in processes]
    assert orjson.dumps(document)


def test_of_each_flow_there_are_sums_and_the_worst_of_its_circuits() -> None:
    document = told_of([running(0), running(1)])
    first, second = document["flows"]
    assert (first["name"], first["limit"], first["held"], first["circuit"]) == ("a", 100, 2, "closed")
    assert first["outcomes"] == {"answered": 2}
    assert (second["name"], second["circuit"], second["reopens_in_s"]) == ("b", "open", 3.0)
    assert sum(document["history"]["outcomes"]["answered"]) == 2


def test_of_each_token_the_one_that_ends_first_is_told_and_of_lags_the_longest() -> None:
    document = told_of([running(0), running(1)])
    assert [each["usable_s"] for each in document["tokens"]] == [99.0]
    assert document["loop_lag_s"] == 0.1


def test_a_worker_is_paused_when_all_its_processes_are() -> None:
    for first, second, both in [(True, True, True), (True, False, False)]:
        told = told_of([running(0, is_paused=first), running(1, is_paused=second), ended(2, 1.0)])
        assert told["pump"]["is_paused"] is both


def test_a_worker_without_any_process_says_so_in_zeros() -> None:
    told = told_of([ended(0, 1.0)], is_draining=True)
    assert set(told["pump"].values()) == {0, None}
    assert (told["flows"], told["tokens"], told["fleet"]) == ([], [], None)


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
