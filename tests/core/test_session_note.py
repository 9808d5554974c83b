import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.session_note import SessionNote, begun_before, read_note

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


def test_only_the_request_that_was_begun_counts_as_begun() -> None:
    note = SessionNote(sequence_number=7, times=3)
    assert (begun_before(note, 7), begun_before(note, 8), begun_before(None, 7)) == (3, 0, 0)
