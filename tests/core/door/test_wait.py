import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.door.wait import asked_s, preferred_s


@given(
    st.integers(0, 999_999),
    st.sampled_from(["wait={}", "WAIT = {}", 'wait="{}"', "respond-async, wait={}", "wait={}; x=1"]),
)
def test_a_preference_is_read_however_it_is_written(seconds: int, form: str) -> None:
    assert preferred_s([form.format(seconds)]) == seconds
    assert preferred_s(["handling=lenient", form.format(seconds)]) == seconds


@given(st.lists(st.text(max_size=40), max_size=4))
def test_a_preference_that_cannot_be_read_is_ignored(headers: list[str]) -> None:
    seconds = preferred_s(headers)
    assert seconds is None or 0 <= seconds <= 999_999


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4))
def test_the_first_preference_is_good(waits: list[int]) -> None:
    assert preferred_s([", ".join(f"wait={wait}" for wait in waits)]) == waits[0]
    assert preferred_s([f"wait={wait}" for wait in waits]) == waits[0]


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", "wait", "1234567", "\u0661", " 1", "1\n"])
def test_what_is_no_number_of_seconds_is_none(text: str) -> None:
    assert asked_s(text) is None


@given(st.integers(0, 999_999))
def test_a_number_of_seconds_is_read(seconds: int) -> None:
    assert asked_s(str(seconds)) == seconds
