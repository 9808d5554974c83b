from hypothesis import given
from hypothesis import strategies as st

from worker.core.lane_demand import CALM_FOR_S, LaneDemand


def test_busy_lanes_are_doubled_up_to_the_most() -> None:
    demand, wanted = LaneDemand(least=2, most=7), []
    for now in range(3):
        demand.look([0.9] * demand.wanted, core_busy=0.5, is_opening=False, now=float(now))
        wanted.append(demand.wanted)
    assert wanted == [4, 7, 7]


def test_where_the_core_is_full_no_more_are_opened() -> None:
    demand = LaneDemand(least=2, most=8)
    demand.look([1.0, 1.0], core_busy=0.9, is_opening=False, now=0.0)
    assert demand.wanted == 2


def test_lanes_that_are_on_their_way_are_waited_for() -> None:
    demand = LaneDemand(least=2, most=8)
    demand.look([1.0, 1.0], core_busy=0.5, is_opening=True, now=0.0)
    assert demand.wanted == 2


def test_lanes_that_are_all_broken_tell_nothing() -> None:
    demand = LaneDemand(least=1, most=4)
    demand.look([1.0], core_busy=0.5, is_opening=False, now=0.0)
    for now in range(300):
        demand.look([], core_busy=0.5, is_opening=False, now=float(now))
    assert demand.wanted == 2


def test_calm_closes_one_after_the_other_and_a_busy_moment_begins_it_anew() -> None:
    demand = LaneDemand(least=2, most=4)
    demand.look([1.0] * 2, core_busy=0.5, is_opening=False, now=0.0)
    assert demand.wanted == 4
    wanted = {}
    for now in range(1, 200):
        demand.look([0.6] * 4 if now == 20 else [0.1] * demand.wanted, core_busy=0.5, is_opening=False, now=float(now))
        wanted[now] = demand.wanted
    assert wanted[21 + int(CALM_FOR_S) - 1] == 4
    assert wanted[21 + int(CALM_FOR_S)] == 3
    assert wanted[199] == 2


@given(
    least=st.integers(1, 4),
    most=st.integers(1, 16),
    looks=st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0, 100)), max_size=50),
)
def test_there_are_never_fewer_than_the_least_nor_more_than_the_most(
    least: int, most: int, looks: list[tuple[float, bool, float]]
) -> None:
    demand, now = LaneDemand(least=least, most=most), 0.0
    for busy, is_opening, later_s in looks:
        now += later_s
        demand.look([busy] * demand.wanted, core_busy=0.5, is_opening=is_opening, now=now)
        assert min(least, most) <= demand.wanted <= most
