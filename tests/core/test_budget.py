from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from worker.core.budget import Budget

DEPOSIT = "deposit"
WITHDRAW = "withdraw"
STEPS = st.lists(st.tuples(st.sampled_from([DEPOSIT, WITHDRAW]), st.floats(0, 3)), max_size=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at: float
    income: float
    is_spent: bool


@given(STEPS, st.floats(0, 1), st.floats(0, 2), st.integers(1, 10))
def test_an_extra_call_is_made_wherever_no_stretch_of_time_has_had_its_share(
    steps: list[tuple[str, float]], ratio: float, reserve_per_s: float, most: int
) -> None:
    """Of every stretch: withdrawals <= most + ratio * deposits + reserve_per_s * elapsed."""
    budget = Budget(ratio=ratio, reserve_per_s=reserve_per_s, most=most)
    past: list[Step] = []
    now = 0.0
    for step, pause_s in steps:
        now += pause_s
        is_spent = step == WITHDRAW and budget.withdraw(now)
        if step == DEPOSIT:
            budget.deposit()
        past.append(Step(at=now, income=ratio if step == DEPOSIT else 0.0, is_spent=is_spent))
        left = [left_after(past[first:], most, reserve_per_s, now) for first in range(len(past))]
        if is_spent:
            assert min(left) >= -1e-6
        elif step == WITHDRAW:
            assert min(left) < 1 + 1e-6


def left_after(stretch: list[Step], most: int, reserve_per_s: float, now: float) -> float:
    income = sum(step.income for step in stretch) + reserve_per_s * (now - stretch[0].at)
    return most + income - sum(step.is_spent for step in stretch)


def test_it_starts_full() -> None:
    budget = Budget(ratio=0.05, reserve_per_s=0.0, most=5.0)
    assert [budget.withdraw(100.0) for _ in range(6)] == [True] * 5 + [False]


def test_five_first_attempts_pay_for_one_retry() -> None:
    budget = Budget(ratio=0.2, reserve_per_s=0.0, most=1.0)
    assert budget.withdraw(0.0)
    for _ in range(4):
        budget.deposit()
    assert not budget.withdraw(0.0)
    budget.deposit()
    assert budget.withdraw(0.0)


def test_the_reserve_comes_with_time() -> None:
    budget = Budget(ratio=0.2, reserve_per_s=1.0, most=1.0)
    assert budget.withdraw(10.0)
    assert not budget.withdraw(10.5)
    assert budget.withdraw(11.0)


def test_a_long_calm_saves_no_more_than_the_most() -> None:
    budget = Budget(ratio=0.2, reserve_per_s=1.0, most=3.0)
    assert budget.withdraw(0.0)
    for _ in range(100):
        budget.deposit()
    assert [budget.withdraw(1000.0) for _ in range(4)] == [True] * 3 + [False]
