from hypothesis import given
from hypothesis import strategies as st

from worker.core.appetite import AT_ONCE_S, Appetite


def hungry() -> Appetite:
    """After as many messages that were there at once as it takes."""
    appetite = Appetite(8)
    for _ in range(16):
        assert appetite.size == 1
        appetite.got(1, asked=1, took_s=0.0)
    return appetite


def test_messages_that_were_waited_for_are_asked_for_one_by_one() -> None:
    appetite = Appetite(8)
    for _ in range(1000):
        appetite.got(1, asked=1, took_s=AT_ONCE_S)
    assert appetite.size == 1


def test_the_more_there_are_at_once_the_more_are_asked_for() -> None:
    appetite, sizes = hungry(), []
    for _ in range(4):
        sizes.append(appetite.size)
        appetite.got(appetite.size, asked=appetite.size, took_s=0.0)
    assert sizes == [2, 4, 8, 8]


def test_fewer_than_were_asked_for_end_it_and_the_next_try_is_longer_in_coming() -> None:
    appetite = hungry()
    appetite.got(1, asked=2, took_s=0.05)
    for _ in range(31):
        appetite.got(1, asked=1, took_s=0.0)
        assert appetite.size == 1
    appetite.got(1, asked=1, took_s=0.0)
    assert appetite.size == 2


def test_what_was_not_asked_for_is_not_missed() -> None:
    appetite = hungry()
    appetite.got(2, asked=2, took_s=0.0)
    appetite.got(2, asked=2, took_s=0.0)
    assert appetite.size == 4


@given(st.integers(1, 32), st.lists(st.tuples(st.integers(0, 32), st.floats(0, 1)), max_size=100))
def test_it_stays_between_one_and_the_largest(largest: int, received: list[tuple[int, float]]) -> None:
    appetite = Appetite(largest)
    for count, took_s in received:
        appetite.got(min(count, appetite.size), asked=appetite.size, took_s=took_s)
        assert 1 <= appetite.size <= largest
