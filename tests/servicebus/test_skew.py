"""Clocks that disagree, as locks tell."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.servicebus.convert import Instant
from worker.servicebus.lanes import ReceiverLane
from worker.servicebus.skew import TOLERATED_S, Skew

Send = Callable[..., Awaitable[None]]
LOCK_S = 60.0


def test_clocks_that_agree_say_nothing() -> None:
    assert Skew(LOCK_S).ahead_s(enqueued=1000.0, locked_until=1060.0, now=1000.1) == 0.0


def test_a_lock_that_seems_half_spent_on_arrival_tells_of_a_clock_that_is_ahead() -> None:
    skew = Skew(LOCK_S)
    assert skew.ahead_s(enqueued=1000.0, locked_until=1060.0, now=1030.0) == 30.0
    assert skew.ahead_s(enqueued=500.0, locked_until=1061.0, now=1031.0) == 30.0, "however long it was queued"


def test_a_delivery_that_waited_in_the_connection_is_no_skew() -> None:
    assert Skew(LOCK_S).ahead_s(enqueued=1000.0, locked_until=1060.0, now=1000.0 + TOLERATED_S) == 0.0


def test_a_lock_shorter_than_the_settings_say_is_no_skew() -> None:
    assert Skew(LOCK_S).ahead_s(enqueued=1000.0, locked_until=1030.0, now=1000.1) == 0.0


@given(
    lock_s=st.floats(5, 300),
    set_s=st.floats(5, 300),
    ahead=st.floats(-300, 300),
    waits=st.lists(st.floats(0, 600), min_size=1, max_size=5),
)
def test_no_request_is_made_younger_than_it_was_on_arrival(
    lock_s: float, set_s: float, ahead: float, waits: list[float]
) -> None:
    """From the first delivery on that did not wait in the queue, whatever `lock_s` is set to."""
    skew = Skew(set_s)
    skew.ahead_s(enqueued=1000.0, locked_until=1000.0 + lock_s, now=1000.0 + ahead)
    for waited_s in waits:
        told_s = skew.ahead_s(enqueued=1000.0, locked_until=1000.0 + waited_s + lock_s, now=1000.0 + waited_s + ahead)
        assert told_s <= max(0.0, ahead) + 1e-6


async def test_a_request_is_not_old_because_this_machines_clock_is_ahead(
    lane: ReceiverLane, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Instant.now
    await send({"message_id": "first"}, {"message_id": "second"})
    monkeypatch.setattr(Instant, "now", lambda: Instant(loop_s=right().loop_s, wall_s=right().wall_s + 20.0))
    received = [delivery for _ in range(2) for delivery in await lane.receive(wait_s=5)]
    now = right().loop_s
    assert [delivery.message_id for delivery in received] == ["first", "second"]
    assert all(now - delivery.enqueued_at < 5.0 for delivery in received)
