"""Which lock is renewed next, against a plain list."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from worker.bridge.renewals import NEVER, Renewals
from worker.bridge.slot import Slot

from .world import World


class RenewalsLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        world = World()
        self.slots = [Slot(passage=world.passage(world.delivery()), started_at=0.0) for _ in range(5)]
        self.renewals = Renewals()
        self.now = 0.0

    @rule(number=st.integers(0, 4), in_s=st.sampled_from([0.0, 1.0, 2.5, 30.0]))
    def plan(self, number: int, in_s: float) -> None:
        self.renewals.plan(self.slots[number], self.now + in_s)

    @rule(number=st.integers(0, 4))
    def cancel(self, number: int) -> None:
        self.renewals.cancel(self.slots[number])

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def the_first_due_is_the_earliest_planned(self) -> None:
        earliest = min(slot.renew_at for slot in self.slots)
        assert self.renewals.next_at() == earliest
        due = self.renewals.first_due(self.now)
        if earliest <= self.now:
            assert due is not None
            assert due.renew_at == earliest
        else:
            assert due is None

    @rule(number=st.integers(0, 4))
    def plan_over_and_over(self, number: int) -> None:
        for n in range(100):
            self.renewals.plan(self.slots[number], self.now + 50.0 + n)

    @invariant()
    def what_is_out_of_date_does_not_pile_up(self) -> None:
        planned = sum(slot.renew_at < NEVER for slot in self.slots)
        assert len(self.renewals) <= 2 * planned + 64


TestRenewalsLife = RenewalsLife.TestCase
TestRenewalsLife.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
