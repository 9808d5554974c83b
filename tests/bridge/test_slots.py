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
            is_there = wish <= total - taken
            assert slots.take(wish) is is_there
            taken += wish if is_there else 0
        elif -wish <= taken:
            slots.give_back(-wish)
            taken += wish
        else:
            with pytest.raises(ValueError, match="given back"):
                slots.give_back(-wish)
        assert slots.free == total - taken
    slots.give_back(taken)
    assert slots.free == total


def test_whoever_waits_is_woken_when_a_slot_comes_back() -> None:
    slots, first, second = Slots(1), asyncio.Event(), asyncio.Event()
    slots.take(1)
    slots.wake_when_free(first)
    slots.wake_when_free(second)
    slots.wake_when_free(first)
    slots.give_back(1)
    assert first.is_set()
    assert second.is_set(), "the first may be unable to use it"


def test_a_sleeper_is_woken_once_for_each_time_it_asked() -> None:
    slots, sleeper = Slots(1), asyncio.Event()
    slots.take(1)
    slots.wake_when_free(sleeper)
    slots.give_back(1)
    sleeper.clear()
    slots.take(1)
    slots.give_back(1)
    assert not sleeper.is_set()


def test_giving_nothing_back_wakes_nobody() -> None:
    slots, sleeper = Slots(1), asyncio.Event()
    slots.take(1)
    slots.wake_when_free(sleeper)
    slots.give_back(0)
    assert not sleeper.is_set()
