from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.delivery import Delivery
from worker.core.in_place import Wait, plan_wait
from worker.core.outcome import HeldBack, Unavailable
from worker.core.redelivery import NoFurtherTry, RedeliverySpec

from .conftest import Deliver, delivery_of

SPEC = RedeliverySpec(delays_s=(5.0, 30.0), max_age_s=3600.0, is_in_place=True)
NOW = 1000.0


def busy(retry_after_s: float | None = None, held_back: HeldBack | None = None) -> Unavailable:
    return Unavailable(detail="busy", attempts=1, retry_after_s=retry_after_s, held_back=held_back)


def plan(outcome: Unavailable, delivery: Delivery, **given_: Any) -> Wait | NoFurtherTry:
    known: dict[str, Any] = {"tries": 0, "waited_s": 0.0, "deadline": None, "now": NOW, "draw": 0.5, **given_}
    return plan_wait(outcome, delivery, SPEC, **known)


@pytest.fixture
def delivery() -> Delivery:
    return delivery_of(enqueued_at=NOW)


def test_each_further_try_waits_for_its_delay(delivery: Delivery) -> None:
    assert plan(busy(), delivery) == Wait(delay_s=5.0, tries=1)
    assert plan(busy(), delivery, tries=1, waited_s=5.0) == Wait(delay_s=30.0, tries=2)


def test_after_the_last_delay_there_is_no_further_try(delivery: Delivery) -> None:
    assert plan(busy(), delivery, tries=2, waited_s=34.0) == NoFurtherTry(why="all 3 tries are spent")


def test_what_the_flow_asks_for_is_waited_but_not_beyond_the_sum(delivery: Delivery) -> None:
    assert plan(busy(20.0), delivery) == Wait(delay_s=20.0, tries=1)
    assert plan(busy(200.0), delivery) == Wait(delay_s=35.0, tries=1)


def test_what_was_held_back_spends_no_try_and_waits_with_jitter(delivery: Delivery) -> None:
    assert plan(busy(10.0, HeldBack.CIRCUIT), delivery) == Wait(delay_s=11.0, tries=0)
    assert plan(busy(None, HeldBack.CIRCUIT), delivery, tries=2) == Wait(delay_s=1.1, tries=2)


def test_a_session_waits_no_longer_than_the_sum(delivery: Delivery) -> None:
    refused = plan(busy(10.0, HeldBack.CIRCUIT), delivery, waited_s=35.0)
    assert isinstance(refused, NoFurtherTry)
    assert "redelivery_s" in refused.why


@pytest.mark.parametrize("left_s", [1e-12, 0.9])
def test_what_was_held_back_is_not_tried_again_after_a_moment(delivery: Delivery, left_s: float) -> None:
    assert isinstance(plan(busy(10.0, HeldBack.CIRCUIT), delivery, waited_s=35.0 - left_s), NoFurtherTry)


def test_a_stopping_worker_tries_nothing_again(delivery: Delivery) -> None:
    assert isinstance(plan(busy(held_back=HeldBack.STOP), delivery), NoFurtherTry)


def test_nothing_is_tried_again_after_its_age_or_its_deadline(deliver: Deliver) -> None:
    old = plan(busy(), deliver(enqueued_at=NOW - 3598.0))
    late = plan(busy(), deliver(enqueued_at=NOW), deadline=NOW + 5.5)
    assert isinstance(old, NoFurtherTry)
    assert "max_age_s" in old.why
    assert isinstance(late, NoFurtherTry)
    assert "time is over" in late.why


@given(
    delays=st.lists(st.floats(0.01, 600.0), max_size=5),
    asked=st.none() | st.floats(0.0, 1000.0),
    held_back=st.sampled_from([None, HeldBack.CIRCUIT]),
    draw=st.floats(0.0, 0.999),
    calls_s=st.floats(0.0, 50.0),
)
def test_however_often_it_is_tried_the_waits_are_bounded_by_the_sum(
    delays: list[float], asked: float | None, held_back: HeldBack | None, draw: float, calls_s: float
) -> None:
    spec = RedeliverySpec(delays_s=tuple(delays), max_age_s=1e9, is_in_place=True)
    waited_s, elapsed_s, tries, rounds = 0.0, 0.0, 0, 0
    while True:
        elapsed_s += calls_s
        wait = plan_wait(
            busy(asked, held_back),
            delivery_of(enqueued_at=NOW),
            spec,
            tries=tries,
            waited_s=elapsed_s,
            deadline=None,
            now=NOW + elapsed_s,
            draw=draw,
        )
        if isinstance(wait, NoFurtherTry):
            break
        waited_s, elapsed_s, tries, rounds = waited_s + wait.delay_s, elapsed_s + wait.delay_s, wait.tries, rounds + 1
        assert rounds <= (sum(delays) if held_back else len(delays))
    assert waited_s <= sum(delays) + 1e-6
