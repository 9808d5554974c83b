from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.deadline import call_deadline, deadline_of, reply_margin_s
from worker.core.decode import decode
from worker.core.outcome import Expired
from worker.core.request import OneWay, Request, ReturnAddress

from .conftest import Deliver, delivery_of

CALLER = ReturnAddress(queue="flow-replies", session_id="s")
NOW = 110.0  # a delivery is enqueued at 100.0 unless said otherwise


def deadline(deliver: Deliver, *, one_way: bool = False, now: float = NOW, **given_: Any) -> float | None:
    delivery = deliver(**given_)
    request = decode(delivery)
    assert isinstance(request, Request)
    return deadline_of(request, delivery, OneWay() if one_way else CALLER, default_timeout_s=110.0, now=now)


def timeout(value: object) -> dict[str, Any]:
    return {"properties": {"timeout-s": value}}


def test_the_deadline_is_the_enqueued_time_and_the_least_of_ttl_and_timeout(deliver: Deliver) -> None:
    assert deadline(deliver, time_to_live_s=90.0, **timeout(30)) == 130.0
    assert deadline(deliver, time_to_live_s=20.0, **timeout("30.5")) == 120.0
    assert deadline(deliver, **timeout(30)) == 130.0
    assert deadline(deliver, time_to_live_s=86_400.0, **timeout(7200)) == 7300.0


def test_without_timeout_a_ttl_up_to_an_hour_is_the_callers_patience(deliver: Deliver) -> None:
    assert deadline(deliver, time_to_live_s=45.0) == 145.0
    assert deadline(deliver, time_to_live_s=3600.0) == 3700.0


def test_without_timeout_a_longer_ttl_or_none_means_the_default(deliver: Deliver) -> None:
    assert deadline(deliver, time_to_live_s=3600.1) == 210.0
    assert deadline(deliver) == 210.0


def test_a_one_way_request_has_a_deadline_only_where_it_names_a_timeout(deliver: Deliver) -> None:
    assert deadline(deliver, one_way=True) is None
    assert deadline(deliver, one_way=True, time_to_live_s=45.0) is None
    assert deadline(deliver, one_way=True, **timeout(30)) == 130.0
    assert deadline(deliver, one_way=True, time_to_live_s=20.0, **timeout(30)) == 120.0


def test_a_copys_timeout_runs_from_the_first_enqueuing_and_its_ttl_from_its_own(deliver: Deliver) -> None:
    first_ms = 1_700_000_000_000
    properties = {"timeout-s": 600, "first-enqueued": first_ms}
    copied: dict[str, Any] = {"enqueued_at": 300.0, "enqueued_time_ms": first_ms + 200_000, "properties": properties}
    assert deadline(deliver, one_way=True, now=301.0, time_to_live_s=400.0, **copied) == 700.0
    assert deadline(deliver, one_way=True, now=301.0, time_to_live_s=250.0, **copied) == 550.0


def test_a_request_from_a_machine_whose_clock_is_ahead_is_not_older_or_younger_than_its_arrival(
    deliver: Deliver,
) -> None:
    assert deadline(deliver, enqueued_at=500.0, **timeout(30)) == 140.0
    assert deadline(deliver, enqueued_at=500.0) == 220.0


def test_the_margin_for_the_reply_is_a_twentieth_and_at_most_half_a_second() -> None:
    assert reply_margin_s(110.0) == 0.5
    assert reply_margin_s(2.0) == pytest.approx(0.1)


def test_the_call_ends_a_margin_before_the_deadline() -> None:
    assert call_deadline(130.0, enqueued_at=100.0, now=110.0) == 129.5
    assert call_deadline(102.0, enqueued_at=100.0, now=101.0) == pytest.approx(101.9)


def test_without_a_deadline_the_call_has_none() -> None:
    assert call_deadline(None, enqueued_at=100.0, now=1e9) is None


@pytest.mark.parametrize("now", [129.5, 130.0, 1e6])
def test_a_request_whose_time_is_over_or_eaten_by_the_margin_is_expired(now: float) -> None:
    expired = call_deadline(130.0, enqueued_at=100.0, now=now)
    assert isinstance(expired, Expired)
    assert expired.attempts == 0
    assert f"{now - 100.0:.1f} s old" in expired.detail
    assert "30 s" in expired.detail


@settings(deadline=None)
@given(
    enqueued_at=st.floats(-1e6, 1e6),
    now=st.floats(0.0, 1e6),
    ttl_s=st.none() | st.floats(0.001, 1e6),
    timeout_s=st.none() | st.floats(0.001, 1e6),
)
def test_a_call_never_ends_after_what_the_caller_allowed(
    enqueued_at: float, now: float, ttl_s: float | None, timeout_s: float | None
) -> None:
    properties = {} if timeout_s is None else {"timeout-s": timeout_s}
    delivery = delivery_of(enqueued_at=enqueued_at, time_to_live_s=ttl_s, properties=properties)
    request = decode(delivery)
    assert isinstance(request, Request)
    ends = deadline_of(request, delivery, CALLER, default_timeout_s=110.0, now=now)
    assert ends is not None
    arrived = min(enqueued_at, now)
    assert timeout_s is None or ends <= arrived + timeout_s
    assert ttl_s is None or ttl_s > 3600.0 or ends <= arrived + ttl_s
    until = call_deadline(ends, enqueued_at=enqueued_at, now=now)
    assert isinstance(until, Expired) or (until is not None and now < until <= ends)
