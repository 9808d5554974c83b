from dataclasses import replace

import pytest
from structlog.typing import EventDict
from support.observed import ANSWERED

from worker.core.attempt import Attempt
from worker.core.outcome import HeldBack, Outcome
from worker.request_log import log_observed

FAILED = Attempt(began_at=100.5, ended_at=100.75, status=504, why="No answer came.", may_have_run=True)
CUT = Attempt(began_at=101.0)


def test_a_delivery_is_one_event_with_its_ids_times_and_end(said: list[EventDict]) -> None:
    log_observed(ANSWERED)
    assert said == [
        {
            "event": "request_ended",
            "log_level": "info",
            "request_id": "r-1",
            "sequence_number": 17,
            "delivery_count": 0,
            "flow": "credit-check",
            "reply_to": "flow-replies",
            "outcome": "answered",
            "http_status": 200,
            "run_id": "08584",
            "attempts": 1,
            "is_recalled": False,
            "is_replied": True,
            "is_copied": False,
            "settlement": "Complete",
            "settled": "done",
            "queue_wait_s": 0.25,
            "call_s": 0.5,
            "reply_s": 1.25,
            "slack_s": 8.75,
            "elapsed_s": 1.75,
        }
    ]


def test_attempts_are_told_once_one_of_them_brought_no_answer(said: list[EventDict]) -> None:
    log_observed(replace(ANSWERED, tries=(FAILED, CUT)))
    assert said[0]["tries"] == [
        {"at_s": 0.5, "took_s": 0.25, "status": 504, "why": "No answer came.", "may_have_run": True},
        {"at_s": 1.0},
    ]


def test_what_was_kept_back_says_by_what(said: list[EventDict]) -> None:
    log_observed(replace(ANSWERED, outcome=Outcome.UNAVAILABLE, held_back=HeldBack.PLACE, tries=()))
    assert (said[0]["held_back"], said[0]["log_level"]) == ("place", "warning")


def test_a_copys_times_are_the_requests_and_say_what_went_by_before_it(said: list[EventDict]) -> None:
    log_observed(replace(ANSWERED, times=replace(ANSWERED.times, first_enqueued_at=90.0)))
    names = ("earlier_s", "queue_wait_s", "reply_s", "slack_s", "elapsed_s")
    assert [said[0][name] for name in names] == [10.0, 0.25, 11.25, 8.75, 11.75]


def test_a_dead_letter_says_what_its_description_is(said: list[EventDict]) -> None:
    log_observed(replace(ANSWERED, dead_letter="ReplyUndeliverable", description="the queue is gone; the answer was …"))
    assert (said[0]["dead_letter"], said[0]["description"]) == (
        "ReplyUndeliverable",
        "the queue is gone; the answer was …",
    )


@pytest.mark.parametrize(
    ("changes", "event", "level"),
    [
        ({"outcome": Outcome.REJECTED}, "request_ended", "info"),
        ({"outcome": Outcome.INDETERMINATE}, "request_ended", "warning"),
        ({"outcome": None, "copy_in_s": 5.0}, "request_moved", "info"),
        ({"outcome": Outcome.UNAVAILABLE, "copy_in_s": 5.0}, "request_moved", "info"),
        ({"defect": "KeyError: x"}, "request_ended", "warning"),
    ],
)
def test_only_what_somebody_should_look_at_is_a_warning(
    changes: dict[str, object], event: str, level: str, said: list[EventDict]
) -> None:
    log_observed(replace(ANSWERED, **changes))  # type: ignore[arg-type]
    assert (said[0]["event"], said[0]["log_level"]) == (event, level)
