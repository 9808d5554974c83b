import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.bridge.slots import Slots


@settings(deadline=None)
@given(total=st.integers(1, 20), wishes=st.lists(st.integers(-20, 30), max_size=30))
def test_all_that_is_wished_for_is_taken_or_nothing_and_all_of_it_comes_back(total: int, wishes: list[int]) -> None:
    """A negative wish gives back."""
    slots, taken = Slots(total), 0
    for wish in wishes:
        if wish >= 0:
            sleeper, is_there = asyncio.Event(), wish <= total - taken
            assert slots.take(wish, sleeper) is is_there
            taken += wish if is_there else 0
            slots.leave_line(sleeper)
        elif -wish <= taken:
            slots.give_back(-wish)
            taken += wish
        else:
            with pytest.raises(ValueError, match="given back"):
                slots.give_back(-wish)
        assert slots.free == total - taken
    slots.give_back(taken)
    assert slots.free == total


def test_who_came_first_is_served_first_and_keeps_what_it_was_given() -> None:
    slots, holder, first, second = Slots(2), asyncio.Event(), asyncio.Event(), asyncio.Event()
    assert slots.take(2, holder)
    assert not slots.take(2, first)
    assert not slots.take(1, second)
    slots.give_back(1)
    assert not first.is_set()
    assert not second.is_set(), "not before the first"
    assert not slots.take(1, holder), "nor who has just given it back"
    slots.give_back(1)
    assert first.is_set()
    assert not second.is_set()
    assert slots.free == 0
    assert slots.take(2, first)
    slots.give_back(2)
    assert second.is_set()
    assert slots.take(1, second)
    assert holder.is_set()
    assert slots.take(1, holder)


def test_who_leaves_the_line_lets_the_next_one_in() -> None:
    slots, holder, first, second = Slots(2), asyncio.Event(), asyncio.Event(), asyncio.Event()
    slots.take(1, holder)
    assert not slots.take(2, first)
    assert not slots.take(1, second)
    slots.leave_line(first)
    assert second.is_set()
    slots.leave_line(second)  # with what it was given
    assert slots.free == 1
    assert slots.take(1, asyncio.Event())


def test_to_ask_again_keeps_the_place_in_line() -> None:
    slots, holder, first, second = Slots(1), asyncio.Event(), asyncio.Event(), asyncio.Event()
    slots.take(1, holder)
    for sleeper in (first, second, first):
        assert not slots.take(1, sleeper)
    slots.give_back(1)
    assert first.is_set()
    assert not second.is_set()
