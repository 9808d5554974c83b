"""Tries in place: nothing may overtake a request in its session, which waits while it is tried again."""

from dataclasses import dataclass

from worker.core.delivery import Delivery
from worker.core.outcome import HeldBack, Indeterminate, Unavailable
from worker.core.redelivery import (
    LEAST_TIME_S,
    LEAST_WAIT_S,
    NoFurtherTry,
    RedeliverySpec,
    asked_delay_s,
    first_enqueued_at,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`tries`: further tries, the one after this wait included."""

    delay_s: float
    tries: int


def plan_wait(
    outcome: Unavailable | Indeterminate,
    delivery: Delivery,
    spec: RedeliverySpec,
    *,
    tries: int,
    waited_s: float,
    deadline: float | None,
    now: float,
    draw: float,
) -> Wait | NoFurtherTry:
    """As `plan_copy` has it, but a session waits for one request no longer than all of `delays_s` together.

    `waited_s`: how long it has; `deadline` and `now` are on the loop's clock; `draw` is uniform in [0, 1).
    """
    held_back = outcome.held_back if isinstance(outcome, Unavailable) else None
    left_s = sum(spec.delays_s) - waited_s
    if held_back is HeldBack.STOP:
        return NoFurtherTry(why="the worker is stopping")
    if held_back is None and tries >= len(spec.delays_s):
        return NoFurtherTry(why=f"all {len(spec.delays_s) + 1} tries are spent")
    asked_s = asked_delay_s(outcome)
    delay_s = max(LEAST_WAIT_S, asked_s) * (1.0 + 0.2 * draw) if held_back else max(spec.delays_s[tries], asked_s)
    if left_s <= 0 or (held_back and left_s < LEAST_WAIT_S):  # what is held back spends no try, so it must wait
        return NoFurtherTry(why=f"its session has waited {waited_s:.0f} s for it, and may no longer (redelivery_s)")
    delay_s = min(delay_s, left_s)
    age_s = max(0.0, now - first_enqueued_at(delivery))
    if age_s + delay_s > spec.max_age_s:
        return NoFurtherTry(why=f"it is {age_s:.0f} s old and may wait {spec.max_age_s:g} s in all (max_age_s)")
    if deadline is not None and now + delay_s + LEAST_TIME_S >= deadline:
        return NoFurtherTry(why=f"the next try, in {delay_s:.0f} s, would come after its time is over")
    return Wait(delay_s=delay_s, tries=tries if held_back else tries + 1)
