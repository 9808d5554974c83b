import pytest

from worker.core.lock_capacity import LockCapacity


def capacity(*, lock_s: float, round_trip_s: float) -> LockCapacity:
    made = LockCapacity()
    made.locked_for(lock_s)
    for _ in range(100):
        made.took(round_trip_s)
    return made


@pytest.mark.parametrize(
    ("lock_s", "round_trip_s", "most"), [(60.0, 0.01, 1200), (60.0, 0.1, 120), (5.0, 0.05, 20), (5.0, 4.0, 1)]
)
def test_half_of_a_lanes_time_renews_each_lock_in_two_fifths_of_its_life(
    lock_s: float, round_trip_s: float, most: int
) -> None:
    assert capacity(lock_s=lock_s, round_trip_s=round_trip_s).most == pytest.approx(most, abs=1)


def test_before_anything_is_known_one_may_be_held() -> None:
    assert LockCapacity().most == 1


def test_a_lock_that_lay_in_a_buffer_does_not_lower_it() -> None:
    made = capacity(lock_s=60.0, round_trip_s=0.01)
    before = made.most
    made.locked_for(3.0)
    assert made.most == before


def test_operations_made_one_after_the_other_count_each() -> None:
    made = LockCapacity()
    made.locked_for(60.0)
    for _ in range(100):
        made.took(0.08, operations=8)
    assert made.most == pytest.approx(1200, abs=1)


def test_a_broker_that_slows_down_is_noticed_within_a_few_operations() -> None:
    made = capacity(lock_s=60.0, round_trip_s=0.01)
    for _ in range(10):
        made.took(0.1)
    assert made.most < 150
