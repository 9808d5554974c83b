"""Message Expiration: how long a request may take in all."""

from worker.core.delivery import Delivery
from worker.core.outcome import Expired
from worker.core.redelivery import first_enqueued_at
from worker.core.request import Destination, OneWay, Request

_LONGEST_MEANT_TTL_S = 3600.0  # a TTL above this is the queue's housekeeping, not a caller's patience


def deadline_of(
    request: Request, delivery: Delivery, destination: Destination, *, default_timeout_s: float, now: float
) -> float | None:
    """When the caller stops waiting, on the loop's clock; None for a one-way request that names no `timeout-s`.

    An enqueued time ahead of `now` is another machine's clock: the request can't be younger than its arrival.
    """
    enqueued_at = min(delivery.enqueued_at, now)
    ttl_s = delivery.time_to_live_s
    if request.timeout_s is not None:
        # A copy's time to live is what was left of the first one's, and runs from the copy's own arrival.
        asked_ends = min(first_enqueued_at(delivery), now) + request.timeout_s
        return asked_ends if ttl_s is None else min(asked_ends, enqueued_at + ttl_s)
    if isinstance(destination, OneWay):
        return None
    return enqueued_at + (default_timeout_s if ttl_s is None or ttl_s > _LONGEST_MEANT_TTL_S else ttl_s)


def reply_margin_s(budget_s: float) -> float:
    """What is kept back of a caller's time for getting the reply to it."""
    return min(0.5, 0.05 * budget_s)


def reply_due(deadline: float, *, enqueued_at: float) -> float:
    """When an outcome must be there for its reply to be in time."""
    return deadline - reply_margin_s(deadline - enqueued_at)


def call_deadline(deadline: float | None, *, enqueued_at: float, now: float) -> float | Expired | None:
    """When the call must have ended for its reply to be in time; `Expired` when that is already past."""
    if deadline is None:
        return None
    ends = reply_due(deadline, enqueued_at=min(enqueued_at, now))
    if ends > now:
        return ends
    return Expired(
        detail=f"The request was {now - enqueued_at:.1f} s old when its turn came; "
        f"its time is {deadline - enqueued_at:.3g} s."
    )
