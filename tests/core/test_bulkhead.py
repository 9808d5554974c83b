from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.core.bulkhead import LONGEST_TURN_S, SHORTEST_TURN_S, Bulkhead


def filled(bulkhead: Bulkhead, flow: str) -> int:
    count = 0
    while bulkhead.enter(flow, 0.0):
        count += 1
    return count


def test_the_only_flow_may_have_everything() -> None:
    assert filled(Bulkhead(200, ["a"]), "a") == 200


def test_a_flow_leaves_the_others_what_is_kept_for_them() -> None:
    bulkhead = Bulkhead(200, ["a", "b", "c", "d", "e"])
    assert filled(bulkhead, "a") == 120
    assert [filled(bulkhead, flow) for flow in "bcde"] == [20, 20, 20, 20]


def test_what_one_gives_back_another_may_have() -> None:
    bulkhead = Bulkhead(20, ["a", "b"])
    assert filled(bulkhead, "a") == 15
    for _ in range(10):
        bulkhead.leave("a", 0.0, held_s=1.0)
    assert filled(bulkhead, "b") == 15


def test_a_worker_with_fewer_slots_than_flows_can_keep_none() -> None:
    bulkhead = Bulkhead(1, ["a", "b"])
    assert filled(bulkhead, "a") == 1


def test_a_place_that_nobody_holds_cannot_be_left() -> None:
    with pytest.raises(ValueError, match="nobody holds"):
        Bulkhead(10, ["a", "b"]).leave("a", 0.0, held_s=1.0)


def used(bulkhead: Bulkhead, flow: str, *, held_s: float, until: float) -> None:
    """One call after the other, each as long."""
    for n in range(50):
        began = until - (50 - n) * held_s
        bulkhead.enter(flow, began)
        bulkhead.leave(flow, began + held_s, held_s=held_s)


def test_only_a_flow_that_moves_on_is_worth_waiting_for() -> None:
    bulkhead = Bulkhead(20, ["a", "b"])
    used(bulkhead, "a", held_s=0.1, until=5.0)
    for _ in range(15):
        bulkhead.enter("a", 5.0)
    assert bulkhead.patience_s("a", 0, 5.0) == pytest.approx(0.2), "as long as a call, and a little"
    assert bulkhead.patience_s("a", 14, 5.0) > 0, "fifteen places are free every 0.1 s"
    assert bulkhead.patience_s("a", 15, 5.0) == 0, "too many wait already"
    assert bulkhead.patience_s("a", 0, 15.0) == 0, "nothing has moved for ten seconds"


def test_turns_follow_each_other_at_what_the_flow_can_take_not_at_what_it_was_asked() -> None:
    bulkhead = Bulkhead(20, ["a", "b"])
    used(bulkhead, "a", held_s=1.5, until=5.0)
    for _ in range(15):
        bulkhead.enter("a", 5.0)
    turns_s = [bulkhead.next_turn_s("a", 5.0) for _ in range(4)]
    assert turns_s == pytest.approx([SHORTEST_TURN_S + 0.1 * n for n in range(4)])


def test_a_flow_that_stands_still_is_expected_to_go_on_doing_so() -> None:
    bulkhead = Bulkhead(20, ["a", "b"])
    assert filled(bulkhead, "a") == 15
    assert bulkhead.next_turn_s("a", 0.1) == SHORTEST_TURN_S, "it has only begun"
    assert bulkhead.next_turn_s("a", 60.0) == pytest.approx(4.0), "15 places, and none was left for a minute"


def test_no_turn_is_further_away_than_a_request_should_be_out_of_sight() -> None:
    bulkhead = Bulkhead(20, ["a", "b"])
    filled(bulkhead, "a")
    turns_s = [bulkhead.next_turn_s("a", 600.0) for _ in range(20)]
    assert turns_s == sorted(turns_s)
    assert turns_s[-1] == LONGEST_TURN_S


def test_nothing_is_kept_where_what_finds_no_place_has_nowhere_to_go() -> None:
    bulkhead = Bulkhead(20, ["a", "b"], is_kept=False)
    assert filled(bulkhead, "a") == 20


class BulkheadLife(RuleBasedStateMachine):
    """Never more places than there are; and whoever holds less than its share gets one, whatever the others do."""

    def __init__(self) -> None:
        super().__init__()
        self.flows = ("a", "b", "c")
        self.bulkhead = Bulkhead(24, self.flows)
        self.held: Counter[str] = Counter()
        self.now = 0.0

    @rule(flow=st.sampled_from("abc"), times=st.integers(1, 30))
    def enter(self, flow: str, times: int) -> None:
        for _ in range(times):
            is_due = self.held[flow] < 4
            if self.bulkhead.enter(flow, self.now):
                self.held[flow] += 1
            else:
                assert not is_due, "kept for it"

    @precondition(lambda self: self.held.total())
    @rule(data=st.data(), seconds=st.floats(0, 7))
    def leave(self, data: st.DataObject, seconds: float) -> None:
        self.now += seconds
        flow = data.draw(st.sampled_from(sorted(self.held.elements())))
        self.bulkhead.leave(flow, self.now, held_s=seconds)
        self.held[flow] -= 1

    @rule(flow=st.sampled_from("abc"))
    def ask_for_a_turn(self, flow: str) -> None:
        assert SHORTEST_TURN_S <= self.bulkhead.next_turn_s(flow, self.now) <= LONGEST_TURN_S

    @invariant()
    def no_more_than_there_are(self) -> None:
        assert self.held.total() <= 24
        assert all(self.bulkhead.held(flow) == self.held[flow] for flow in self.flows)


TestBulkheadLife = BulkheadLife.TestCase
TestBulkheadLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
