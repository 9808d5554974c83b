from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.outcome import HeldBack, Indeterminate, Unavailable
from worker.core.redelivery import Copy, NoFurtherTry, RedeliverySpec, first_enqueued_at, plan_copy
from worker.core.request import Request

from .conftest import Deliver, delivery_of

SPEC = RedeliverySpec(delays_s=(5.0, 30.0, 120.0, 600.0), max_age_s=86_400.0)
FAILED = Unavailable(detail="Connection refused.", attempts=4)
IN_DOUBT = Indeterminate(detail="No answer.", attempts=1)
OPEN = Unavailable(detail="The circuit is open.", attempts=0, held_back=HeldBack.CIRCUIT, retry_after_s=12.0)
FIRST_MS = 1_700_000_000_000


def plan(delivery: Delivery, outcome: Unavailable | Indeterminate = FAILED, **given_: Any) -> Copy | NoFurtherTry:
    spec = given_.pop("spec", SPEC)
    return plan_copy(outcome, delivery, spec, **{"tries": 0, "deadline": None, "now": 101.0, "draw": 0.0, **given_})


def copy_of(planned: Copy | NoFurtherTry) -> Copy:
    assert isinstance(planned, Copy)
    return planned


def why(planned: Copy | NoFurtherTry) -> str:
    assert isinstance(planned, NoFurtherTry)
    return planned.why


@pytest.mark.parametrize("outcome", [FAILED, IN_DOUBT])
@pytest.mark.parametrize(("tries", "delay_s"), [(0, 5.0), (1, 30.0), (2, 120.0), (3, 600.0)])
def test_each_try_waits_for_its_own_delay_and_counts(
    deliver: Deliver, outcome: Unavailable | Indeterminate, tries: int, delay_s: float
) -> None:
    copy = copy_of(plan(deliver(), outcome, tries=tries))
    assert copy.delay_s == delay_s
    assert copy.properties["delivery-attempt"] == tries + 1


def test_after_the_last_try_there_is_none(deliver: Deliver) -> None:
    assert "5 tries are spent" in why(plan(deliver(), tries=4))
    assert "5 tries are spent" in why(plan(deliver(), tries=4711))


def test_a_flow_that_asks_for_more_time_gets_it(deliver: Deliver) -> None:
    assert copy_of(plan(deliver(), replace(FAILED, retry_after_s=60.0))).delay_s == 60.0
    assert copy_of(plan(deliver(), replace(FAILED, retry_after_s=2.0))).delay_s == 5.0


def test_waiting_for_an_open_circuit_is_no_try_and_jitters_past_the_reopening(deliver: Deliver) -> None:
    copies = [copy_of(plan(deliver(), OPEN, tries=4, draw=draw)) for draw in (0.0, 0.5, 0.99)]
    assert [copy.properties["delivery-attempt"] for copy in copies] == [4, 4, 4]
    assert 12.0 == copies[0].delay_s < copies[1].delay_s < copies[2].delay_s < 14.5


@pytest.mark.parametrize("retry_after_s", [None, 0.0, 0.001])
def test_waiting_for_an_open_circuit_takes_a_second_at_least(deliver: Deliver, retry_after_s: float | None) -> None:
    assert copy_of(plan(deliver(), replace(OPEN, retry_after_s=retry_after_s))).delay_s >= 1.0


def test_waiting_ends_by_age_alone(deliver: Deliver) -> None:
    aged = deliver(properties={"first-enqueued": FIRST_MS - 86_390_000}, enqueued_time_ms=FIRST_MS)
    assert copy_of(plan(aged, FAILED)).delay_s == 5.0
    assert copy_of(plan(aged, OPEN)).delay_s == pytest.approx(9.0), "to the end of its age"
    older = deliver(properties={"first-enqueued": FIRST_MS - 86_399_900}, enqueued_time_ms=FIRST_MS)
    assert "max_age_s" in why(plan(older, OPEN))


def test_no_copy_is_made_that_would_come_after_its_time(deliver: Deliver) -> None:
    assert copy_of(plan(deliver(), deadline=107.5)).delay_s == 5.0
    assert "after its time" in why(plan(deliver(), deadline=107.0)), "nor one that has no time left to be called"
    assert copy_of(plan(deliver(time_to_live_s=6.5))).time_to_live_s == pytest.approx(0.5)
    assert "after its time" in why(plan(deliver(time_to_live_s=6.0)))


def test_a_copy_keeps_what_is_left_of_the_time_to_live(deliver: Deliver) -> None:
    assert copy_of(plan(deliver(time_to_live_s=600.0), now=110.0)).time_to_live_s == pytest.approx(585.0)
    assert copy_of(plan(deliver())).time_to_live_s is None


def test_a_copy_carries_the_first_id_and_age_and_keeps_every_other_property(deliver: Deliver) -> None:
    original = deliver(
        message_id="first", properties={"flow": "f", "region": "emea", "idempotency-key": "k"}, correlation_id="c"
    )
    copy = copy_of(plan(original))
    assert copy.original is original
    assert copy.properties == {
        "flow": "f",
        "region": "emea",
        "idempotency-key": "k",
        "request-id": "first",
        "delivery-attempt": 1,
        "first-enqueued": FIRST_MS,
    }
    assert copy.message_id not in {"first", ""}


def test_the_same_delivery_is_copied_under_the_same_id_and_the_next_under_another(deliver: Deliver) -> None:
    """So that a duplicate-detecting queue drops a repeat, and never a further try."""
    first = copy_of(plan(deliver(sequence_number=17)))
    assert copy_of(plan(deliver(sequence_number=17), IN_DOUBT, tries=1, now=150.0)).message_id == first.message_id
    second = deliver(sequence_number=18, message_id=first.message_id, properties=first.properties)
    assert copy_of(plan(second, tries=1)).message_id != first.message_id
    assert copy_of(plan(deliver(sequence_number=17, message_id="another"))).message_id != first.message_id


def test_the_first_enqueued_time_counts_from_the_first_message(deliver: Deliver) -> None:
    assert first_enqueued_at(deliver()) == 100.0
    copied = deliver(enqueued_time_ms=FIRST_MS + 40_000, properties={"first-enqueued": FIRST_MS})
    assert first_enqueued_at(copied) == 60.0


@pytest.mark.parametrize("nonsense", ["yesterday", True, None, 1.5, FIRST_MS + 99_000])
def test_a_senders_nonsense_as_first_enqueued_time_does_no_harm(deliver: Deliver, nonsense: object) -> None:
    assert first_enqueued_at(deliver(properties={"first-enqueued": nonsense})) == 100.0


steps = st.tuples(
    st.sampled_from([FAILED, IN_DOUBT, OPEN, replace(FAILED, retry_after_s=700.0), replace(OPEN, retry_after_s=0.0)]),
    st.floats(0.0, 130.0),  # how long the try took
    st.floats(0.0, 0.999),
)


@settings(deadline=None)
@given(
    delays_s=st.lists(st.floats(0.1, 600.0), max_size=5).map(tuple),
    ttl_s=st.none() | st.floats(1.0, 10_000.0),
    course=st.lists(steps, min_size=1, max_size=4),
)
def test_redelivery_ends_within_its_tries_or_its_age(
    delays_s: tuple[float, ...], ttl_s: float | None, course: list[tuple[Unavailable | Indeterminate, float, float]]
) -> None:
    """The course is gone through over and over, each copy delivered when it is due, until there is no further try."""
    spec = RedeliverySpec(delays_s=delays_s, max_age_s=3000.0)
    delivery, now, ids, counted = delivery_of(time_to_live_s=ttl_s), 100.0, {"m-1"}, 0
    for turn in range(4000):
        outcome, took_s, draw = course[turn % len(course)]
        now += took_s
        request = decode(delivery)
        assert isinstance(request, Request)
        assert request.request_id == request.idempotency_key == "m-1"
        planned = plan_copy(outcome, delivery, spec, tries=request.delivery_attempt, deadline=None, now=now, draw=draw)
        if isinstance(planned, NoFurtherTry):
            break
        counted += planned.properties["delivery-attempt"] != request.delivery_attempt
        assert planned.message_id not in ids
        ids.add(planned.message_id)
        now += planned.delay_s
        assert planned.time_to_live_s is None or planned.time_to_live_s > 0
        delivery = replace(
            delivery,
            sequence_number=delivery.sequence_number + 1,
            message_id=planned.message_id,
            properties=planned.properties,
            time_to_live_s=planned.time_to_live_s,
            enqueued_at=now,
            enqueued_time_ms=FIRST_MS + round((now - 100.0) * 1000),
        )
        assert first_enqueued_at(delivery) == pytest.approx(100.0, abs=0.002)
        assert now - 100.0 <= 3000.1
        assert ttl_s is None or now <= 100.0 + ttl_s + 0.001
    else:
        pytest.fail("it never ended")
    assert counted <= len(delays_s)
