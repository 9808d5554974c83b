"""Operators search and alert by the names of events: none is renamed, added or stripped of a field unnoticed."""

from pathlib import Path

from worker.core.story.search import AROUND

from .said import events, told

GOLDEN = Path(__file__).parents[1] / "golden" / "log_events.txt"


def test_events_their_levels_and_fields_are_those_that_operators_know() -> None:
    assert told(events()) == GOLDEN.read_text(encoding="utf-8")


def test_every_event_about_a_delivery_names_its_request() -> None:
    of_deliveries = {name: event for name, event in events().items() if "sequence_number" in event.fields}
    assert [name for name, event in of_deliveries.items() if "request_id" not in event.fields] == []


def test_what_a_story_tells_of_the_workers_is_what_they_say() -> None:
    assert set(AROUND) <= set(events())
