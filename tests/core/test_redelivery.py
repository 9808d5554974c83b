from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.decode import decode
from worker.core.delivery import Delivery
from worker.core.outcome import Indeterminate, Unavailable
from worker.core.redelivery import Copy, NoFurtherTry, RedeliverySpec, first_enqueued_at, plan_copy
from worker.core.request import Request

from .conftest import Deliver, delivery_of

SPEC = RedeliverySpec(delays_s=(5.0, 30.0, 120.0, 600.0), max_age_s=86_400.0)
FAILED = Unavailable(detail="Connection refused.", attempts=4)
IN_DOUBT = Indeterminate(detail="No answer.", attempts=1)
OPEN = Unavailable(detail="The circuit is open.", attempts=0, circuit_open=True, retry_after_s=12.0)
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
@pytest.mark.parametrize(("tries", "delay_s"), enumerate([5.0, 30.0, 120.0, 600.0]).__reduce__()[1][0:0] or [(0, 5.0), (1, 30.0), (2, 120.0), (3, 600.0)])
def test_each_try_waits_for_its_own_delay_and_counts(
    deliver: Deliver, outcome: Unavailable | Indeterminate, tries: int, delay_s: float
) -> None:
    copy = copy_of(plan(deliver(), outcome, tries=tries))
    assert copy.delay_s == delay_s
    assert copy.properties["delivery-attempt"] == tries + 1
