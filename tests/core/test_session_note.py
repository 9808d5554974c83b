import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.delivery import Delivery
from worker.core.session_note import Notes, SessionNote, read_note

from .conftest import delivery_of

numbers = st.integers(1, 2**63 - 1)


@given(sequence_number=numbers, times=numbers)
def test_a_note_is_read_as_it_was_written(sequence_number: int, times: int) -> None:
    note = SessionNote(sequence_number=sequence_number, times=times)
    assert read_note(note.encode()) == note


@pytest.mark.parametrize(
    "state",
    [
        None,
        b"",
        b"\xff\x00",
        b"somebody else's",
        b"[]",
        b"{}",
        b'{"flowbridge": 3}',
        b'{"flowbridge": {"begun": "1", "times": 1}}',
        b'{"flowbridge": {"begun": 1, "times": 0}}',
        b"[" * 100_000,
    ],
)
def test_what_nobody_or_somebody_else_wrote_is_no_note(state: bytes | None) -> None:
    assert read_note(state) is None


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda it: json.dumps(it).encode())
)
def test_whatever_a_session_holds_can_be_read(state: bytes) -> None:
    read_note(state)


NOTE = SessionNote(sequence_number=7, times=3)


def counted(sequence_number: int, delivery_count: int = 0) -> Delivery:
    return delivery_of(sequence_number=sequence_number, delivery_count=delivery_count)


def test_only_the_request_that_was_begun_counts_as_delivered() -> None:
    notes = Notes(NOTE)
    assert (notes.told(counted(7)), notes.told(counted(8)), Notes().told(counted(7))) == (
        counted(7, 3),
        counted(8),
        counted(7),
    )


@pytest.mark.parametrize(("by_the_broker", "in_all"), [(1, 3), (3, 3), (4, 4)])
def test_what_the_broker_counts_too_counts_once(by_the_broker: int, in_all: int) -> None:
    assert Notes(NOTE).told(counted(7, by_the_broker)) == counted(7, in_all)


def test_who_begins_nothing_leaves_what_he_found() -> None:
    assert Notes(NOTE).remaining == NOTE


def test_what_is_begun_stays_noted_until_its_end_is_known() -> None:
    notes = Notes(NOTE)
    begun = notes.begin(notes.told(counted(7)))
    assert notes.remaining == begun == SessionNote(sequence_number=7, times=4)


def test_what_has_left_the_queue_leaves_no_note() -> None:
    notes = Notes(NOTE)
    notes.begin(notes.told(counted(7)))
    notes.gone()
    assert notes.remaining is None


def test_what_the_broker_counts_leaves_no_note_but_is_not_forgotten() -> None:
    notes = Notes(NOTE)
    notes.begin(notes.told(counted(7)))
    notes.counted()
    assert notes.remaining is None
    assert notes.told(counted(7, 1)) == counted(7, 4)
    notes.counted()
    assert notes.told(counted(7, 2)) == counted(7, 4)


def test_what_was_not_called_leaves_what_was_found_of_it() -> None:
    notes = Notes(NOTE)
    notes.begin(notes.told(counted(7)))
    notes.taken_back()
    assert notes.remaining == NOTE


def test_what_was_found_of_another_request_has_left_the_queue_with_it() -> None:
    notes = Notes(NOTE)
    notes.begin(counted(8))
    notes.taken_back()
    assert notes.remaining is None
