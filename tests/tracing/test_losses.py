from hypothesis import given
from hypothesis import strategies as st

from worker.tracing.losses import QUIET_S, Losses


def test_a_loss_is_news_until_a_delivery_after_some_quiet_ends_it() -> None:
    losses = Losses()
    assert losses.deliver(0.0) is None
    assert losses.lose(512, 1.0)
    assert not losses.lose(5, 2.0)
    assert losses.deliver(2.0 + QUIET_S / 2) is None
    assert losses.deliver(2.0 + QUIET_S) == 517
    assert losses.deliver(3.0 + QUIET_S) is None
    assert losses.lose(1, 4.0 + QUIET_S)


@given(st.lists(st.tuples(st.booleans(), st.floats(min_value=0, max_value=30)), max_size=40))
def test_every_loss_is_counted_once_and_told_at_most_twice_in_the_quiet_time(events: list[tuple[bool, float]]) -> None:
    losses, now, lost, told, begun, ended = Losses(), 0.0, 0, 0, 0, 0
    for is_loss, pause_s in events:
        now += pause_s
        if is_loss:
            lost += 1
            begun += losses.lose(1, now)
        elif (count := losses.deliver(now)) is not None:
            told, ended = told + count, ended + 1
            assert told == lost
    assert ended <= begun <= ended + 1
    assert begun <= 1 + now / QUIET_S
